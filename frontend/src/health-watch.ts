/**
 * Keeps one lamp's reading fresh: asked for now and then while the page is looked at.
 *
 * What does not change is asked for ever more rarely; what may have changed (a nudge), at once, but
 * never twice within `LEAST_MS` and never twice at a time.
 */

import { asApiError, type ApiError } from "./api";
import { BackOff } from "./back-off";
import { Timers } from "./timers";
import type { HealthStatus } from "./health";
import type { Clock } from "./ports";

/** An answer, or why there is none; null before the first of either. */
export type Reading<Health> = { readonly health: Health } | { readonly error: ApiError } | null;

export interface HealthWatchDependencies {
  readonly clock: Clock;
  readonly random: () => number;
}

export const LEAST_MS = 600;
const SPREAD_MS = 500;
const GREEN_MS = 5_000;
const MOST_GREEN_MS = 30_000;
const OTHER_MS = 2_000;
const MOST_OTHER_MS = 10_000;
const GROWTH = 1.5;

export class HealthWatch<Health extends { readonly status: HealthStatus }> {
  private readonly read: (signal: AbortSignal) => Promise<Health>;
  private readonly dependencies: HealthWatchDependencies;
  private readonly listener: (reading: Reading<Health>) => void;
  private readonly timers: Timers<"next">;
  private readonly backOff: BackOff;
  private readonly abort = new AbortController();
  private reading: Reading<Health> = null;
  private pauseMs = 0;
  private askedAt = -Infinity;
  private dueAt = Infinity;
  private running = false;
  private nudged = false;
  private seen = false;
  /** The server does not tell. */
  private off = false;

  /** `listener` hears every answer and every failure. */
  constructor(
    read: (signal: AbortSignal) => Promise<Health>,
    dependencies: HealthWatchDependencies,
    listener: (reading: Reading<Health>) => void,
  ) {
    this.read = read;
    this.dependencies = dependencies;
    this.listener = listener;
    this.timers = new Timers(dependencies.clock);
    this.backOff = new BackOff(5_000, 60_000, dependencies.random);
  }

  /** Whether anybody looks at the page; nothing is asked while nobody does. */
  attend(seen: boolean): void {
    this.seen = seen;
    if (seen) this.hurry(0);
    else this.timers.clear("next");
  }

  /** Something happened that every page hears of, and that may have changed the answer. */
  nudge(): void {
    this.hurry(SPREAD_MS * this.dependencies.random());
  }

  /** A sign of life: worth a question while the answer was that something is amiss. */
  hint(): void {
    const { reading } = this;
    if (reading !== null && "health" in reading && reading.health.status !== "green") this.nudge();
  }

  stop(): void {
    this.abort.abort();
    this.timers.clearAll();
  }

  private get asks(): boolean {
    return this.seen && !this.off && !this.abort.signal.aborted;
  }

  private hurry(delayMs: number): void {
    if (!this.asks) return;
    this.nudged = this.running;
    const now = this.dependencies.clock.now();
    const delay = Math.max(delayMs, this.askedAt + LEAST_MS - now);
    // Nudges in a row must not put the question off.
    const sooner = !this.timers.isArmed("next") || now + delay < this.dueAt;
    if (!this.running && sooner) this.askIn(delay);
  }

  private askIn(delayMs: number): void {
    this.dueAt = this.dependencies.clock.now() + delayMs;
    this.timers.arm("next", delayMs, () => void this.ask());
  }

  private async ask(): Promise<void> {
    this.running = true;
    this.askedAt = this.dependencies.clock.now();
    let pause: number;
    try {
      pause = this.answered(await this.read(this.abort.signal));
    } catch (error) {
      if (this.abort.signal.aborted) return;
      pause = this.failed(asApiError(error));
    }
    this.running = false;
    if (!this.asks) return;
    this.askIn(this.nudged ? LEAST_MS : pause);
    this.nudged = false;
  }

  /** Milliseconds until the next question. */
  private answered(health: Health): number {
    if (this.abort.signal.aborted) return 0;
    const before = this.reading !== null && "health" in this.reading ? this.reading.health : null;
    const green = health.status === "green";
    const [first, most] = green ? [GREEN_MS, MOST_GREEN_MS] : [OTHER_MS, MOST_OTHER_MS];
    const same = before?.status === health.status;
    this.pauseMs = same ? Math.min(most, this.pauseMs * GROWTH) : first;
    this.backOff.reset();
    this.tell({ health });
    // A tenth either way: pages that were opened together do not stay together.
    return this.pauseMs * (0.9 + 0.2 * this.dependencies.random());
  }

  private failed(error: ApiError): number {
    this.off = error.status === 404;
    this.tell({ error });
    return this.backOff.next();
  }

  private tell(reading: Reading<Health>): void {
    this.reading = reading;
    this.listener(reading);
  }
}
