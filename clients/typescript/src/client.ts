/** The client of one server: candles, factor events, features and drawings. */

import { BackOff } from "./back-off.js";
import { readCandlePage } from "./candle-pages.js";
import { NEWEST_LIMIT, RANGE_LIMIT } from "./candle-reads.js";
import { Follow, type Cursor, type FollowOptions } from "./follow.js";
import { ApiError, finite, Http, unreadable, type Json } from "./http.js";
import { parseDrawDelta, type DrawDelta } from "./instruction.js";
import { systemClock, type Socket } from "./ports.js";
import { SharedSocket } from "./shared-socket.js";
import type { Candle } from "./candle.js";
import type { CandlePage } from "./readers.js";
import type { SessionDependencies } from "./sync-session.js";

export interface ClientOptions {
  /** How long one request may take, milliseconds. */
  readonly timeoutMs?: number;
  /** Instead of the global `fetch` and `WebSocket`. */
  readonly fetch?: typeof globalThis.fetch;
  readonly WebSocket?: new (address: URL) => unknown;
}

/** Times are open times of candles, UTC seconds, both inclusive. */
export interface Range {
  readonly start: number;
  /** Absent: up to the newest closed candle. */
  readonly end?: number;
  readonly signal?: AbortSignal;
}

/** The newest candles: at most 5,000, and 2,000 without a limit. */
export interface Newest {
  readonly limit?: number;
  readonly signal?: AbortSignal;
}

export interface Candles {
  readonly seriesId: string;
  /** Closed candles, ascending, with every revision up to one moment. */
  readonly candles: readonly Candle[];
  /** Give it to `follow` to go on from here. */
  readonly cursor: Cursor;
}

export interface EventQuery extends Partial<Range> {
  /** `<factor>.<what happened>`, as in the events themselves; absent: all. */
  readonly kinds?: readonly string[];
}

export interface FeatureQuery extends Partial<Range> {
  /** Absent: all. */
  readonly columns?: readonly string[];
}

export interface FactorEvent {
  readonly id: number;
  /** The closed candle that brought it, UTC seconds. */
  readonly candle_time: number;
  readonly factor: string;
  readonly kind: string;
  readonly event_key: string;
  readonly payload: Readonly<Record<string, unknown>>;
}

export interface FactorEvents {
  readonly seriesId: string;
  /** The newest candle whose events are known, UTC seconds. */
  readonly headTime: number | null;
  readonly events: readonly FactorEvent[];
}

/** Null: the candle has no such event. */
export type FeatureValue = number | string | null;

/** A row for each candle: `columns` are as long as `candleTimes`. */
export interface Features {
  readonly seriesId: string;
  readonly headTime: number | null;
  readonly candleTimes: readonly number[];
  readonly columns: Readonly<Record<string, readonly FeatureValue[]>>;
}

export interface Frame {
  readonly seriesId: string;
  /** The closed candle that the frame belongs to, UTC seconds. */
  readonly candleTime: number;
  /** What each factor knew, as the server describes it. */
  readonly factors: Readonly<Record<string, unknown>>;
  readonly drawings: DrawDelta;
}

export class Client {
  private readonly http: Http;
  private readonly following: SessionDependencies;
  private readonly socket: SharedSocket;
  private readonly closing = new AbortController();

  /** `server` is its address, with its prefix if it has one; in a browser by default the page's. */
  constructor(server?: string | URL, options: ClientOptions = {}) {
    const { fetch = globalThis.fetch, WebSocket = globalThis.WebSocket, timeoutMs } = options;
    const root = server === undefined ? new URL(".", globalThis.location.href) : new URL(server);
    if (!root.pathname.endsWith("/")) root.pathname += "/";
    const addressOf = (path: string): URL => new URL(path.slice(1), root);
    this.http = new Http(
      (path, init) => fetch(addressOf(path), init),
      timeoutMs === undefined ? {} : { timeoutMs },
    );
    const socketAddress = addressOf("/ws/market");
    socketAddress.protocol = socketAddress.protocol.replace("http", "ws");
    const open = (): Socket => new WebSocket(socketAddress) as Socket;
    this.socket = new SharedSocket(open, systemClock, false);
    this.following = {
      api: { candles: (seriesId, query) => readCandlePage(this.http, seriesId, query) },
      clock: systemClock,
      openSocket: this.socket.open,
      random: Math.random,
    };
  }

  /** Closed candles of a range, or the newest ones. Throws ApiError. */
  candles(seriesId: string, range: Range | Newest = {}): Promise<Candles> {
    return ofOneMoment(() => this.readCandles(seriesId, range));
  }

  /**
   * What happens in a series: candles in order and each once, gaps, revisions. Begins after
   * `since`, with the newest candles without it. Throws Error when `seriesId` is malformed.
   */
  follow(seriesId: string, options: FollowOptions = {}): Follow {
    const closing = this.closing.signal;
    const signal = options.signal ? AbortSignal.any([options.signal, closing]) : closing;
    return new Follow(seriesId, this.following, { ...options, signal });
  }

  /** What the factors found in a range, of some kinds or of all. Throws ApiError. */
  events(seriesId: string, query: EventQuery = {}): Promise<FactorEvents> {
    const { start: from, end: to, kinds, signal } = query;
    const asked = { series_id: seriesId, from, to, kinds: kinds?.join(",") };
    return ofOneMoment(async () => {
      const events: FactorEvent[] = [];
      const headTime = await this.readPages("/api/factor/events", asked, signal, (page) => {
        if (!Array.isArray(page["events"])) throw unreadable("events");
        append(events, page["events"] as FactorEvent[]);
      });
      return { seriesId, headTime, events };
    });
  }

  /** Columns with a value for each candle of a range, all or those named. Throws ApiError. */
  features(seriesId: string, query: FeatureQuery = {}): Promise<Features> {
    const { start: from, end: to, columns: names, signal } = query;
    const asked = { series_id: seriesId, from, to, columns: names?.join(",") };
    return ofOneMoment(async () => {
      const candleTimes: number[] = [];
      const columns: Record<string, FeatureValue[]> = {};
      const headTime = await this.readPages("/api/factor/features", asked, signal, (page) => {
        const { candle_time: times, columns: more } = page;
        if (!Array.isArray(times) || typeof more !== "object") throw unreadable("features");
        for (const [name, values] of Object.entries(more as typeof columns)) {
          append((columns[name] ??= candleTimes.map(() => null)), values);
        }
        append(candleTimes, times as number[]);
        // A page has no columns without a value, unless they are asked for.
        for (const column of Object.values(columns)) {
          while (column.length < candleTimes.length) column.push(null);
        }
      });
      return { seriesId, headTime, candleTimes, columns };
    });
  }

  /** Factors and drawings at a candle, the last one up to `time`, or the newest. Throws ApiError. */
  async frame(seriesId: string, time?: number, signal?: AbortSignal): Promise<Frame> {
    const query = new URLSearchParams({ series_id: seriesId });
    if (time !== undefined) query.set("at_time", String(time));
    const path = `/api/frame/${time === undefined ? "live" : "at_time"}?${query}`;
    const { body } = await patient(() => this.http.get(path, signal));
    const drawings = parseDrawDelta(body["draw_state"]);
    const slices = body["factor_slices"] as Json | undefined;
    const candleTime = finite((body["time"] as Json | undefined)?.["aligned_time"]);
    if (drawings === null || !slices || candleTime === null) throw unreadable("frame");
    return { seriesId, candleTime, factors: (slices["snapshots"] ?? {}) as Json, drawings };
  }

  /** Ends everything that is followed, and the connection. */
  close(): void {
    this.closing.abort();
    this.socket.end(1006);
  }

  private async readCandles(seriesId: string, range: Range | Newest): Promise<Candles> {
    const { signal } = range;
    const start = "start" in range ? range.start : null;
    const end = ("end" in range ? range.end : null) ?? Infinity;
    const limit = "limit" in range ? range.limit : undefined;
    const found: Candle[] = [];
    let past: Pick<CandlePage, "epoch" | "generation"> | null = null;
    let since = start === null ? null : start - 1;
    for (;;) {
      const query = { since, limit: start === null ? (limit ?? NEWEST_LIMIT) : RANGE_LIMIT };
      const page = await patient(() =>
        readCandlePage(this.http, seriesId, signal ? { ...query, signal } : query),
      );
      const { candles, serverHead, epoch, generation } = page;
      past ??= { epoch, generation };
      if (epoch !== past.epoch || generation !== past.generation) throw changing();
      append(found, candles.filter(({ candle_time: time }) => time <= end));
      const last = candles.at(-1)?.candle_time ?? Infinity;
      if (start === null || last >= Math.min(end, serverHead ?? -Infinity)) {
        const newest = found.at(-1)?.candle_time ?? (start === null ? null : start - 1);
        const oldest = start ?? found[0]?.candle_time ?? null;
        return { seriesId, candles: found, cursor: { since: newest, oldest, ...past } };
      }
      since = last;
    }
  }

  /** Hands every page to `take`; returns the newest candle that the rows are known of. */
  private async readPages(
    path: string,
    parameters: Readonly<Record<string, string | number | undefined>>,
    signal: AbortSignal | undefined,
    take: (page: Json) => void,
  ): Promise<number | null> {
    const query = new URLSearchParams({ limit: String(RANGE_LIMIT) });
    for (const [name, value] of Object.entries(parameters)) {
      if (value !== undefined) query.set(name, String(value));
    }
    for (;;) {
      const { body } = await patient(() => this.http.get(`${path}?${query}`, signal));
      take(body);
      const { next_cursor: next, head_time: head } = body;
      if (typeof next !== "string") return finite(head);
      query.set("cursor", next);
    }
  }
}

/** How often a failed page is read, and how often everything whose past changed meanwhile. */
const ATTEMPTS = 4;
const CHANGED = new Set(["series_changing", "events_changed"]);

function changing(): ApiError {
  return new ApiError(0, "series_changing", "The past of the series changed while it was read.");
}

/** What `read` returns; once more from the beginning when pages of two pasts met. */
async function ofOneMoment<Result>(read: () => Promise<Result>): Promise<Result> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await read();
    } catch (error) {
      if (!(error instanceof ApiError) || !CHANGED.has(error.code)) throw error;
      if (attempt === ATTEMPTS) throw error;
    }
  }
}

/** What `read` returns, tried again after failures that pass. */
async function patient<Result>(read: () => Promise<Result>): Promise<Result> {
  const backOff = new BackOff(500, 10_000, Math.random);
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await read();
    } catch (error) {
      if (!(error instanceof ApiError) || !error.transient || attempt === ATTEMPTS) throw error;
    }
    await new Promise((resolve) => systemClock.setTimeout(() => resolve(null), backOff.next()));
  }
}

function append<Item>(list: Item[], more: readonly Item[]): void {
  for (const each of more) list.push(each);
}
