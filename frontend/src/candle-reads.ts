/**
 * The HTTP half of a session: reads candles up to the server's head, one read at a time.
 *
 * Wishes that come in meanwhile are joined into one, so a storm of gaps costs one more read. Reads
 * never overlap, so an older answer can not overwrite a newer one.
 */

import { asApiError, type ApiError, type CandlePage, type CandleReader } from "./api";
import { BackOff } from "./back-off";
import type { Clock, TimerHandle } from "./ports";
import type { Action, SeriesState } from "./series-state";

export const NEWEST_LIMIT = 2000;
export const RANGE_LIMIT = 5000;
const OLDER_LIMIT = 1000;
// Where the stretch before the first candle is a hole, look once behind it.
const OLDER_SPANS = [1, 8] as const;
const MOST_OLDER_PAGES = 16;

export interface ReadEvents {
  /** A read has reached the server's head. */
  completed(): void;
  /** A read failed and will be tried again at `retryAt` (milliseconds). */
  postponed(error: ApiError, retryAt: number): void;
  /** A read failed in a way that asking again does not help. */
  refused(error: ApiError): void;
}

export interface ReadDependencies {
  readonly api: CandleReader;
  readonly clock: Clock;
  readonly random: () => number;
}

/** `since` null is the newest page. */
interface Range {
  readonly since: number | null;
}

export class CandleReads {
  private readonly dependencies: ReadDependencies;
  private readonly state: () => SeriesState;
  private readonly dispatch: (action: Action) => void;
  private readonly events: ReadEvents;
  private readonly backOff: BackOff;
  private readonly abort = new AbortController();
  private wantsNewest = false;
  private wantedSince: number | null = null;
  private running = false;
  private retryTimer: TimerHandle | null = null;
  private readingOlder = false;
  private olderDiscarded = false;

  constructor(
    dependencies: ReadDependencies,
    view: { state: () => SeriesState; dispatch: (action: Action) => void },
    events: ReadEvents,
  ) {
    this.dependencies = dependencies;
    this.state = view.state;
    this.dispatch = view.dispatch;
    this.events = events;
    this.backOff = new BackOff(500, 10_000, dependencies.random);
  }

  /** Reads everything after `since` (exclusive, UTC seconds) up to the head; null: the newest page. */
  request(since: number | null): void {
    if (since === null) this.wantsNewest = true;
    else this.wantedSince = Math.max(0, Math.min(since, this.wantedSince ?? since));
    void this.run();
  }

  /** Tries a postponed read at once; whether there was one. */
  hurry(): boolean {
    if (this.retryTimer === null) return false;
    this.clearRetry();
    void this.run();
    return true;
  }

  /** Forgets what was wished for, after a refusal. */
  forget(): void {
    this.wantsNewest = false;
    this.wantedSince = null;
    this.clearRetry();
    this.backOff.reset();
  }

  stop(): void {
    this.forget();
    this.abort.abort();
  }

  /** Reads a stretch before the first loaded candle, unless that is under way or there is none. */
  async readOlder(): Promise<void> {
    const first = this.state().candles[0]?.candle_time;
    if (this.readingOlder || first === undefined || this.state().historyExhausted) return;
    this.readingOlder = true;
    this.olderDiscarded = false;
    try {
      const candles = await this.olderThan(first);
      if (!this.stopped && !this.olderDiscarded) {
        this.dispatch({ type: "older_loaded", candles, exhausted: candles.length === 0 });
      }
    } catch {
      // Scrolling again asks again.
    } finally {
      this.readingOlder = false;
    }
  }

  /** A revision makes an older stretch that is under way worthless. */
  discardOlder(): void {
    this.olderDiscarded = true;
  }

  private get stopped(): boolean {
    return this.abort.signal.aborted;
  }

  private async run(): Promise<void> {
    if (this.running || this.retryTimer !== null) return;
    this.running = true;
    let range = this.take();
    while (range !== null && !this.stopped) range = await this.attempt(range);
    this.running = false;
  }

  /** Performs one read; the next one wished for, or null to stop for now. */
  private async attempt(range: Range): Promise<Range | null> {
    try {
      await this.readToHead(range.since);
    } catch (error) {
      if (!this.stopped) this.failed(range, asApiError(error));
      return null;
    }
    if (this.stopped) return null;
    this.backOff.reset();
    this.dispatch({ type: "range_read", since: range.since });
    this.events.completed();
    return this.take();
  }

  private take(): Range | null {
    if (this.wantsNewest) {
      this.wantsNewest = false;
      return { since: null };
    }
    const since = this.wantedSince;
    this.wantedSince = null;
    return since === null ? null : { since };
  }

  private failed(range: Range, error: ApiError): void {
    if (!error.transient) {
      this.events.refused(error);
      return;
    }
    const delay = this.backOff.next();
    this.retryTimer = this.dependencies.clock.setTimeout(() => this.hurry(), delay);
    if (range.since === null) this.wantsNewest = true;
    else this.wantedSince = Math.min(range.since, this.wantedSince ?? range.since);
    this.events.postponed(error, this.dependencies.clock.now() + delay);
  }

  private async readToHead(since: number | null): Promise<void> {
    let limit = since === null ? NEWEST_LIMIT : RANGE_LIMIT;
    let cursor = since;
    for (let complete = false; !complete && !this.stopped; limit = RANGE_LIMIT) {
      const page = await this.page(cursor, limit);
      if (this.stopped) return;
      const last = page.candles.at(-1)?.candle_time ?? null;
      const advanced = last !== null && last > (cursor ?? -Infinity);
      complete = !advanced || page.serverHead === null || last >= page.serverHead;
      this.dispatch({
        type: "page_loaded",
        candles: page.candles,
        serverHead: page.serverHead,
        complete,
        clockOffsetMs: this.clockOffset(page),
      });
      cursor = last;
    }
  }

  private page(since: number | null, limit: number): Promise<CandlePage> {
    const { api } = this.dependencies;
    return api.candles(this.state().seriesId, { since, limit, signal: this.abort.signal });
  }

  private clockOffset(page: CandlePage): number | undefined {
    if (page.serverTimeMs === null) return undefined;
    // The Date header is cut to whole seconds, half a second too early on average.
    const offset = page.serverTimeMs + 500 - this.dependencies.clock.now();
    return Math.abs(offset) > 2000 ? offset : 0;
  }

  /** The newest candles before `first`, joined to it without an unread stretch between. */
  private async olderThan(first: number): Promise<CandlePage["candles"]> {
    const { seconds } = this.state().timeframe;
    for (const span of OLDER_SPANS) {
      const since = Math.max(0, first - span * OLDER_LIMIT * seconds - 1);
      const older = await this.between(since, first);
      if (older.length > 0 || since === 0) return older;
    }
    return [];
  }

  private async between(since: number, until: number): Promise<CandlePage["candles"]> {
    const found: CandlePage["candles"][number][] = [];
    let cursor = since;
    for (let pages = 0; pages < MOST_OLDER_PAGES; pages += 1) {
      const { candles } = await this.page(cursor, OLDER_LIMIT);
      found.push(...candles.filter((candle) => candle.candle_time < until));
      const last = candles.at(-1)?.candle_time ?? Infinity;
      if (last >= until || last <= cursor) return found;
      cursor = last;
    }
    return []; // Not joined to the first candle: showing it would make up a hole.
  }

  private clearRetry(): void {
    if (this.retryTimer !== null) this.dependencies.clock.clearTimeout(this.retryTimer);
    this.retryTimer = null;
  }
}
