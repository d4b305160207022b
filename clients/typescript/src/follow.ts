/**
 * A series as a stream of events: what was missed first, then what closes, each candle once and in
 * order, over lost connections, gaps and revisions.
 */

import { lowerBound } from "./candle-list.js";
import { findHoles } from "./holes.js";
import type { Timeframe } from "./timeframe.js";
import { ApiError } from "./http.js";
import { SyncSession, type SessionDependencies } from "./sync-session.js";
import type { Candle } from "./candle.js";
import type { Action, Failure, SeriesState, Status, Step } from "./series-state.js";

/** Where to go on; plain data, to be kept between two runs of a program. */
export interface Cursor {
  /** Time of the newest closed candle that you have; null: begin with the newest candles. */
  readonly since: number | null;
  /** The oldest candle that you have: revisions are delivered from there on. */
  readonly oldest: number | null;
  /** The revisions that your candles include, and the past that they are of; null: unknown. */
  readonly epoch: number | null;
  readonly generation: string | null;
}

export type FollowEvent =
  /** Closed candles, ascending; `cursor` is where to go on after them. */
  | { readonly type: "candles"; readonly candles: readonly Candle[]; readonly cursor: Cursor }
  /** The open candle, for display; closed ones before it may still come. */
  | { readonly type: "forming"; readonly candle: Candle }
  /** The server has no candles from `from` to before `to`; the one of `to` comes next. */
  | { readonly type: "gap"; readonly from: number; readonly to: number; readonly missing: number }
  /** Stored candles were corrected or added: all of them from `from` on come again. */
  | { readonly type: "revised"; readonly from: number }
  /** The store has another past: drop every candle of the series; they come again. */
  | { readonly type: "reset" }
  /** `live`, or what the client does meanwhile; `failure` is why the connection was lost. */
  | { readonly type: "status"; readonly status: Status; readonly failure: Failure | null };

export interface FollowOptions extends Partial<Cursor> {
  /** Ends the stream. */
  readonly signal?: AbortSignal;
}

/** Beyond so many unread candles the connection is given up until they are read. */
const MOST_UNREAD = 20_000;
const MOST_IN_EVENT = 5_000;

/** The events of a series; ends with `return`, as a `break` out of `for await` does. */
export class Follow implements AsyncIterableIterator<FollowEvent> {
  private readonly seriesId: string;
  private readonly dependencies: SessionDependencies;
  private readonly events: FollowEvent[] = [];
  private readonly signal: AbortSignal | undefined;
  private session: SyncSession | null = null;
  private oldest: number | null;
  /** The newest candle that was delivered. */
  private head: number | null;
  private past: Pick<Cursor, "epoch" | "generation">;
  private isReadingGap = false;
  private unread = 0;
  private status: Status | null = null;
  private failure: ApiError | null = null;
  private isEnded = false;
  private readonly readers: (() => void)[] = [];

  /** Throws when `seriesId` can not be parsed. */
  constructor(seriesId: string, dependencies: SessionDependencies, options: FollowOptions = {}) {
    const { since = null, oldest = null, epoch = null, generation = null, signal } = options;
    this.seriesId = seriesId;
    this.dependencies = dependencies;
    this.head = since;
    this.oldest = oldest ?? (since === null ? null : since + 1);
    this.past = { epoch, generation };
    this.signal = signal;
    this.begin();
    signal?.addEventListener("abort", this.end);
    if (signal?.aborted) this.end();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** The next event. Throws ApiError when the server refuses the series for good. */
  async next(): Promise<IteratorResult<FollowEvent, undefined>> {
    for (;;) {
      const event = this.isEnded ? undefined : this.events.shift();
      if (event !== undefined) {
        if (event.type === "candles") this.unread -= event.candles.length;
        return { done: false, value: event };
      }
      if (this.failure !== null) {
        const { failure } = this;
        this.failure = null;
        this.end();
        throw failure;
      }
      if (this.isEnded) return { done: true, value: undefined };
      if (this.session === null) this.begin();
      await new Promise<void>((resolve) => this.readers.push(resolve));
    }
  }

  async return(): Promise<IteratorResult<FollowEvent, undefined>> {
    this.end();
    return { done: true, value: undefined };
  }

  private wake(): void {
    for (const resolve of this.readers.splice(0)) resolve();
  }

  private readonly end = (): void => {
    this.signal?.removeEventListener("abort", this.end);
    this.isEnded = true;
    this.pause();
    this.wake();
  };

  /** Goes on after `head`. */
  private begin(): void {
    this.isReadingGap = false;
    const session: SyncSession = new SyncSession(
      this.seriesId,
      this.dependencies,
      {
        changed: (step, action) => session === this.session && this.changed(step, action),
        rewritten: () => undefined,
      },
      { since: this.head, ...this.past },
    );
    this.session = session;
    session.start();
  }

  private pause(): void {
    this.session?.stop();
    this.session = null;
  }

  private changed({ state }: Step, action: Action): void {
    if (action.type === "forgotten") this.startOver(null);
    else if (action.type === "revised") this.startOver(action.fromTime);
    else {
      this.past = state.loaded ? { epoch: state.epoch, generation: state.generation } : this.past;
      this.deliverClosed(state);
      const { forming } = state;
      const isNew = action.type === "candle_forming" && forming === action.candle;
      if (isNew && !this.isReadingGap) {
        this.push({ type: "forming", candle: forming });
      }
      this.reportStatus(state);
    }
  }

  /** Delivers again what was revised, from `fromTime` on; null: everything. */
  private startOver(fromTime: number | null): void {
    this.pause();
    // A page that is read from here on has the revision.
    this.past = fromTime === null ? UNKNOWN : { ...this.past, epoch: null };
    if (this.oldest !== null && this.head !== null) {
      const from = Math.max(fromTime ?? 0, this.oldest);
      if (fromTime === null) this.push({ type: "reset" });
      else if (from <= this.head) this.push({ type: "revised", from });
      this.head = Math.min(from - 1, this.head);
    }
    this.begin();
  }

  private deliverClosed(state: SeriesState): void {
    const wasReadingGap = this.isReadingGap;
    this.isReadingGap = state.announcedGaps.length > 0;
    // What the server lacked a moment ago it may have now: wait for that, to keep the order.
    if (this.isReadingGap) return;
    const { candles, timeframe } = state;
    const from = this.head === null ? 0 : lowerBound(candles, this.head + 1);
    const first = candles[from];
    if (first === undefined) return;
    if (wasReadingGap && from === 0 && candles.length >= state.keep) {
      // So much came meanwhile that candles after `head` are not kept any more.
      this.pause();
      this.begin();
      return;
    }
    this.oldest ??= first.candle_time;
    this.deliver(candles.slice(from), timeframe);
  }

  private deliver(fresh: readonly Candle[], timeframe: Timeframe): void {
    const before = this.head === null ? [] : [{ ...(fresh[0] as Candle), candle_time: this.head }];
    let start = 0;
    for (const { from, to, missing } of findHoles([...before, ...fresh], timeframe)) {
      const end = lowerBound(fresh, to);
      this.pushCandles(fresh.slice(start, end));
      this.push({ type: "gap", from, to, missing });
      start = end;
    }
    this.pushCandles(fresh.slice(start));
    // The candles that were delivered last; a slow reader gets the rest when it is through.
    if (this.unread > MOST_UNREAD) this.pause();
  }

  private pushCandles(candles: readonly Candle[]): void {
    const last = candles.at(-1);
    if (last === undefined) return;
    this.head = last.candle_time;
    const cursor: Cursor = { since: this.head, oldest: this.oldest, ...this.past };
    this.unread += candles.length;
    const waiting = this.events.at(-1);
    if (waiting?.type === "candles" && waiting.candles.length + candles.length <= MOST_IN_EVENT) {
      this.events.pop();
      this.push({ type: "candles", candles: [...waiting.candles, ...candles], cursor });
    } else this.push({ type: "candles", candles, cursor });
  }

  private reportStatus({ status, failure }: SeriesState): void {
    if (status === "error") {
      this.failure = new ApiError(0, failure?.code ?? "unknown", failure?.detail ?? "");
      this.wake();
    } else if (status !== this.status) this.push({ type: "status", status, failure });
    this.status = status;
  }

  /** Of unread open candles and states only the newest counts. */
  private push(event: FollowEvent): void {
    const waiting = this.events.at(-1)?.type;
    if (waiting === event.type && (waiting === "forming" || waiting === "status")) this.events.pop();
    this.events.push(event);
    this.wake();
  }
}

const UNKNOWN = { epoch: null, generation: null };
