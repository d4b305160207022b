/**
 * Keeps one lamp's reading fresh: as the server sends it, or by polling while the page is visible.
 *
 * The interval grows while the answer stays the same. A nudge (something may have changed) polls at
 * once, but never twice within `LEAST_MS` and never twice at a time.
 */

import { ApiError, asApiError } from "trade-canvas-client/http";
import { BackOff } from "trade-canvas-client/back-off";
import { Timers } from "trade-canvas-client/timers";
import type { HealthStatus } from "trade-canvas-client/health";
import type { Clock } from "trade-canvas-client/ports";

/** An answer or a failure; null before the first of either. */
export type Reading<Health> = { readonly health: Health } | { readonly error: ApiError } | null;

export interface HealthWatchDependencies {
  readonly clock: Clock;
  readonly random: () => number;
}

export const LEAST_MS = 600;
const SPREAD_MS = 500;
export const HOLD_MS = 2_500;
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
  /** The server sends the reading. */
  private isPushed = false;
  /** Nothing is polled before, milliseconds: the server may be about to send the reading. */
  private heldUntil = -Infinity;
  /** The server has no such health endpoint. */
  private off = false;

  /** `listener` is called with every answer and every failure. */
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

  /** Sets whether the page is visible; nothing is polled while it is not. */
  attend(seen: boolean): void {
    this.seen = seen;
    if (seen) this.hurry(0);
    else this.timers.clear("next");
  }

  /** Something happened on every page at once that may have changed the answer. */
  nudge(): void {
    this.hurry(SPREAD_MS * this.dependencies.random());
  }

  /** A candle closed: polls soon if the last answer was not green. */
  hint(): void {
    const { reading } = this;
    if (reading !== null && "health" in reading && reading.health.status !== "green") this.nudge();
  }

  /** The server sent the reading; it is not polled as long as the connection lasts. */
  pushed(health: Health): void {
    this.beginPush({ health });
  }

  /** The server does not report this health. */
  unreported(): void {
    this.beginPush({ error: new ApiError(404, "not_found", "not_found") });
  }

  /** The connection over which the server sends readings was opened or lost. */
  connected(isConnected: boolean): void {
    this.isPushed &&= isConnected;
    this.hold();
    this.hurry(0);
  }

  /** Polls nothing for a moment: the server may be about to send the reading. */
  hold(): void {
    this.heldUntil = this.dependencies.clock.now() + HOLD_MS;
    this.timers.clear("next");
  }

  stop(): void {
    this.abort.abort();
    this.timers.clearAll();
  }

  private get asks(): boolean {
    return this.seen && !this.off && !this.isPushed && !this.abort.signal.aborted;
  }

  private hurry(delayMs: number): void {
    if (!this.asks) return;
    this.nudged = this.running;
    const now = this.dependencies.clock.now();
    const delay = Math.max(delayMs, this.askedAt + LEAST_MS - now, this.heldUntil - now);
    // Repeated nudges must not postpone the poll.
    const sooner = !this.timers.isArmed("next") || now + delay < this.dueAt;
    if (!this.running && sooner) this.askIn(delay);
  }

  private beginPush(reading: Reading<Health>): void {
    if (this.abort.signal.aborted) return;
    this.isPushed = true;
    this.pauseMs = 0;
    this.timers.clear("next");
    this.report(reading);
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

  /** Milliseconds until the next poll. */
  private answered(health: Health): number {
    if (this.abort.signal.aborted || this.isPushed) return 0;
    const before = this.reading !== null && "health" in this.reading ? this.reading.health : null;
    const green = health.status === "green";
    const [first, most] = green ? [GREEN_MS, MOST_GREEN_MS] : [OTHER_MS, MOST_OTHER_MS];
    // A reading that the server sent had no pause.
    const same = before?.status === health.status && this.pauseMs > 0;
    this.pauseMs = same ? Math.min(most, this.pauseMs * GROWTH) : first;
    this.backOff.reset();
    this.report({ health });
    // Ten percent of jitter: pages that were opened together do not poll together.
    return this.pauseMs * (0.9 + 0.2 * this.dependencies.random());
  }

  private failed(error: ApiError): number {
    if (this.isPushed) return 0;
    this.off = error.status === 404;
    this.report({ error });
    return this.backOff.next();
  }

  private report(reading: Reading<Health>): void {
    this.reading = reading;
    this.listener(reading);
  }
}
