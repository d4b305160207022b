/**
 * The HTTP half of a session: reads candles up to the server's head, one read at a time.
 *
 * Requests made meanwhile are merged into one, and gaps are collected for a moment first, because a
 * catch-up reports all of them at once. Reads never overlap, so an older answer can not overwrite a
 * newer one.
 */

import { asApiError, type ApiError } from "./http.js";
import { BackOff } from "./back-off.js";
import { olderEpoch, type Action, type Past, type SeriesState } from "./series-state.js";
import { Timers } from "./timers.js";
import type { Clock } from "./ports.js";
import type { CandlePage, CandleReader, OlderPage } from "./readers.js";

/** After a failed read of older candles. */
const OLDER_PAUSE_MS = 3_000;
export const NEWEST_LIMIT = 2000;
export const RANGE_LIMIT = 5000;
const OLDER_LIMIT = 1000;
// How far back to read before the first candle, in pages; the second if the first has no candles.
const OLDER_SPANS = [1, 8] as const;
const MOST_OLDER_PAGES = 16;
const GATHER_MS = 100;

export interface ReadEvents {
  /** A read has reached the server's head. */
  completed(): void;
  /** A read failed and will be tried again at `retryAt` (milliseconds). */
  postponed(error: ApiError, retryAt: number): void;
  /** A read failed, and a retry would fail too. */
  refused(error: ApiError): void;
}

export interface ReadDependencies {
  readonly api: CandleReader;
  readonly clock: Clock;
  readonly random: () => number;
}

/** Where a session continues. */
export interface Beginning extends Past {
  /** Exclusive, the time of a closed candle, UTC seconds; null: with the newest page. */
  readonly since: number | null;
}

export const NEWEST: Beginning = { since: null, epoch: null, generation: null };

/** `since` null is the newest page. `revision` is the epoch of the revision to read, if any. */
interface Range {
  readonly since: number | null;
  readonly revision: number | null;
}

export class CandleReads {
  private readonly dependencies: ReadDependencies;
  private readonly state: () => SeriesState;
  private readonly dispatch: (action: Action) => void;
  private readonly events: ReadEvents;
  /** Where the newest candles begin; null: with the newest page. */
  private readonly begin: number | null;
  private readonly backOff: BackOff;
  private readonly abort = new AbortController();
  private wantsNewest = false;
  private wantedSince: number | null = null;
  private wantedRevision: number | null = null;
  private running = false;
  private readonly timers: Timers<"retry" | "gather">;
  private readingOlder = false;
  /** No older candles are read before this time of the local clock, milliseconds. */
  private olderRetryAt = 0;
  private olderDiscarded = false;

  constructor(
    dependencies: ReadDependencies,
    view: { state: () => SeriesState; dispatch: (action: Action) => void },
    events: ReadEvents,
    begin: number | null = null,
  ) {
    this.dependencies = dependencies;
    this.state = view.state;
    this.dispatch = view.dispatch;
    this.events = events;
    this.begin = begin;
    this.backOff = new BackOff(500, 10_000, dependencies.random);
    this.timers = new Timers(dependencies.clock);
  }

  /**
   * Reads everything after `since` (exclusive, UTC seconds) up to the head; null: the newest page.
   * `revision` is the epoch of the revision that makes this necessary.
   */
  request(since: number | null, revision: number | null = null): void {
    this.want({ since, revision });
    void this.run();
  }

  /** The same after a moment, so that a burst of requests becomes one read from the oldest. */
  requestSoon(since: number): void {
    this.want({ since, revision: null });
    if (!this.timers.isArmed("gather")) this.timers.arm("gather", GATHER_MS, () => void this.run());
  }

  /** Runs a postponed read now; returns whether there was one. */
  hurry(): boolean {
    if (!this.timers.isArmed("retry")) return false;
    this.timers.clear("retry");
    void this.run();
    return true;
  }

  /** Drops all pending reads, after a refusal. */
  forget(): void {
    this.wantsNewest = false;
    this.wantedSince = null;
    this.wantedRevision = null;
    this.timers.clearAll();
    this.backOff.reset();
  }

  stop(): void {
    this.forget();
    this.abort.abort();
  }

  /** Reads a page before the first loaded candle, unless one is being read or history ends. */
  async readOlder(): Promise<void> {
    const first = this.state().candles[0]?.candle_time;
    if (this.readingOlder || first === undefined || this.state().historyExhausted) return;
    if (this.dependencies.clock.now() < this.olderRetryAt) return;
    this.readingOlder = true;
    this.olderDiscarded = false;
    try {
      const { candles, epoch } = await this.olderThan(first);
      if (!this.stopped && !this.olderDiscarded) {
        this.dispatch({ type: "older_loaded", candles, exhausted: candles.length === 0, epoch });
      }
    } catch {
      this.olderRetryAt = this.dependencies.clock.now() + OLDER_PAUSE_MS;
    } finally {
      this.readingOlder = false;
    }
  }

  /** Discards the older page being read: a revision may have changed it. */
  discardOlder(): void {
    this.olderDiscarded = true;
    this.dependencies.api.forget?.(this.state().seriesId);
  }

  private get stopped(): boolean {
    return this.abort.signal.aborted;
  }

  private async run(): Promise<void> {
    if (this.running || this.timers.isArmed("retry")) return;
    this.running = true;
    let range = this.take();
    while (range !== null && !this.stopped) range = await this.attempt(range);
    this.running = false;
  }

  /** Performs one read; returns the next pending range, or null to stop for now. */
  private async attempt(range: Range): Promise<Range | null> {
    let read: number | null;
    try {
      read = await this.readToHead(range.since);
    } catch (error) {
      if (!this.stopped) this.failed(range, asApiError(error));
      return null;
    }
    if (this.stopped) return null;
    this.backOff.reset();
    const epoch = olderEpoch(range.revision, read);
    this.dispatch({ type: "range_read", since: range.since, epoch });
    this.events.completed();
    return this.take();
  }

  private want({ since, revision }: Range): void {
    if (since === null) this.wantsNewest = true;
    else this.wantedSince = Math.max(0, Math.min(since, this.wantedSince ?? since));
    if (revision !== null) this.wantedRevision = Math.max(revision, this.wantedRevision ?? 0);
  }

  private take(): Range | null {
    if (!this.wantsNewest && this.wantedSince === null) return null;
    const since = this.wantsNewest ? this.begin : this.wantedSince;
    if (this.wantsNewest) this.wantsNewest = false;
    else this.wantedSince = null;
    // Read in two parts, a revision is complete only with the last one.
    const isLast = this.wantedSince === null;
    const revision = isLast ? this.wantedRevision : null;
    if (isLast) this.wantedRevision = null;
    return { since, revision };
  }

  private failed(range: Range, error: ApiError): void {
    this.want(range); // Once more, or merged with the next request.
    if (!error.transient) {
      this.events.refused(error);
      return;
    }
    const delay = this.backOff.next();
    this.timers.arm("retry", delay, () => void this.run());
    this.events.postponed(error, this.dependencies.clock.now() + delay);
  }

  /** The oldest epoch of the pages that were read. */
  private async readToHead(since: number | null): Promise<number | null> {
    let cursor = since;
    let epoch: number | null = Infinity;
    for (let complete = false; !complete && !this.stopped;) {
      const page = await this.page(cursor, cursor === null ? NEWEST_LIMIT : RANGE_LIMIT);
      if (this.stopped) return null;
      if (this.isOfAnotherPast(page)) {
        this.dispatch({ type: "forgotten" });
        epoch = Infinity;
        const isPartial = cursor !== this.begin;
        cursor = this.begin;
        if (isPartial) continue;
      }
      epoch = olderEpoch(epoch, page.epoch);
      const last = page.candles.at(-1)?.candle_time ?? null;
      const advanced = last !== null && last > (cursor ?? -Infinity);
      complete = !advanced || page.serverHead === null || last >= page.serverHead;
      this.dispatch({
        type: "page_loaded",
        candles: page.candles,
        serverHead: page.serverHead,
        complete,
        epoch: page.epoch,
        generation: page.generation,
        clockOffsetMs: this.clockOffset(page),
      });
      cursor = last;
    }
    return epoch;
  }

  /** Whether the server's store has another past than that of the loaded candles. */
  private isOfAnotherPast(page: CandlePage): boolean {
    const { generation } = this.state();
    return generation !== null && page.generation !== generation;
  }

  private page(since: number | null, limit: number): Promise<CandlePage> {
    const { api } = this.dependencies;
    return api.candles(this.state().seriesId, { since, limit, signal: this.abort.signal });
  }

  private clockOffset(page: CandlePage): number | undefined {
    if (page.serverTimeMs === null) return undefined;
    // The Date header has whole seconds: it is half a second early on average.
    const offset = page.serverTimeMs + 500 - this.dependencies.clock.now();
    return Math.abs(offset) > 2000 ? offset : 0;
  }

  /** The newest candles before `first`, with nothing unread between them and `first`. */
  private async olderThan(first: number): Promise<OlderPage> {
    const { seriesId, epoch, generation, timeframe: { seconds } } = this.state();
    const { signal } = this.abort;
    const query = { first, epoch, generation, signal };
    const compact = await this.dependencies.api.older?.(seriesId, query);
    if (compact) return compact;
    for (const span of OLDER_SPANS) {
      const since = Math.max(0, first - span * OLDER_LIMIT * seconds - 1);
      const older = await this.between(since, first);
      if (older.candles.length > 0 || since === 0) return older;
    }
    return NOTHING;
  }

  private async between(since: number, until: number): Promise<OlderPage> {
    const found: CandlePage["candles"][number][] = [];
    let cursor = since;
    let epoch: number | null = Infinity;
    for (let pages = 0; pages < MOST_OLDER_PAGES; pages += 1) {
      const page = await this.page(cursor, OLDER_LIMIT);
      if (this.isOfAnotherPast(page)) throw new Error("The server has another past.");
      epoch = olderEpoch(epoch, page.epoch);
      found.push(...page.candles.filter((candle) => candle.candle_time < until));
      const last = page.candles.at(-1)?.candle_time ?? Infinity;
      if (last >= until || last <= cursor) return { candles: found, epoch };
      cursor = last;
    }
    return NOTHING; // Does not reach the first candle: showing it would create a false hole.
  }
}

const NOTHING: OlderPage = { candles: [], epoch: null };
