/**
 * Keeps the drawings of one series in step with the server: a baseline, then deltas.
 *
 * Reads happen one at a time. A stopped session ignores answers that are still under way. Drawings
 * stay until newer ones arrive.
 */

import { asApiError, type ApiError } from "../sync/api";
import { BackOff } from "../sync/back-off";
import { applyDelta, fromBaseline, NO_DRAWINGS, type Drawings } from "./drawings";
import { Timers } from "../sync/timers";
import type { DrawDelta } from "./instruction";
import type { Clock } from "../sync/ports";
import type { OverlayReader } from "../sync/readers";

/**
 * `behind`: the server is still computing. `empty`: the series has nothing to draw yet. `off`: the
 * server does not draw.
 */
export type OverlayStatus = "loading" | "ready" | "behind" | "empty" | "error" | "off";

export interface OverlayStep {
  readonly drawings: Drawings;
  readonly status: OverlayStatus;
}

export interface OverlayDependencies {
  readonly api: OverlayReader;
  readonly clock: Clock;
  readonly random: () => number;
}

type Task = "baseline" | "delta";

const FOLLOW_MS = 150;
const FOLLOW_SPREAD_MS = 250;
/** A rebuild notifies all pages at once; several follow one another while history is filled. */
const REWRITTEN_MS = 400;
const REWRITTEN_SPREAD_MS = 600;
const BEHIND_STEP_MS = 200;
const BEHIND_TRIES = 6;
const BEHIND_MS = 5_000;
const EMPTY_MS = 30_000;
/** An answer with this many versions may be truncated. */
const FULL_PATCH = 50_000;
const EMPTY_DETAILS = ["no_data", "no_overlay"];

export class OverlaySession {
  private readonly seriesId: string;
  private readonly dependencies: OverlayDependencies;
  private readonly listener: (step: OverlayStep) => void;
  private readonly timers: Timers<"follow" | "retry">;
  private readonly abort = new AbortController();
  private readonly backOff: BackOff;
  private drawings = NO_DRAWINGS;
  private status: OverlayStatus = "loading";
  private hasBaseline = false;
  private wanted: Task | null = null;
  private running = false;
  private conflicts = 0;
  /** The newest known closed candle. */
  private closedTime = -Infinity;
  /** The last answer may be truncated. */
  private cutOff = false;

  /** `listener` is called after every change of the drawings or the status. */
  constructor(
    seriesId: string,
    dependencies: OverlayDependencies,
    listener: (step: OverlayStep) => void,
  ) {
    this.seriesId = seriesId;
    this.dependencies = dependencies;
    this.listener = listener;
    this.timers = new Timers(dependencies.clock);
    this.backOff = new BackOff(1_000, 30_000, dependencies.random);
  }

  /** Reports empty drawings; the first candle triggers the read of the baseline. */
  start(): void {
    this.report(NO_DRAWINGS, "loading");
  }

  stop(): void {
    this.abort.abort();
    this.timers.clearAll();
  }

  /** The candle at `time` (UTC seconds) closed, which may have changed the drawings. */
  candleClosed(time: number): void {
    const first = this.closedTime === -Infinity;
    this.closedTime = Math.max(time, this.closedTime);
    if (this.ended || this.status === "error") return; // The retry reads everything.
    this.want("delta");
    if (first) void this.run();
    else this.runIn(FOLLOW_MS, FOLLOW_SPREAD_MS);
  }

  /** The ledger was, or may have been, rewritten: deltas do not contain what was removed. */
  rewritten(): void {
    if (this.ended || this.closedTime === -Infinity) return;
    this.want("baseline");
    this.runIn(REWRITTEN_MS, REWRITTEN_SPREAD_MS);
  }

  private get ended(): boolean {
    return this.abort.signal.aborted || this.status === "off";
  }

  /** Merges two tasks: a baseline contains every delta. */
  private want(task: Task): void {
    if (this.wanted !== "baseline") this.wanted = task;
  }

  /** Runs a moment after the first of several triggers. */
  private runIn(delayMs: number, spreadMs: number): void {
    if (this.timers.isArmed("follow")) return;
    const delay = delayMs + spreadMs * this.dependencies.random();
    this.timers.arm("follow", delay, () => void this.run());
  }

  private async run(): Promise<void> {
    if (this.running) return;
    this.running = true;
    for (let task = this.take(); task !== null && !this.ended; task = this.take()) {
      this.timers.clear("retry");
      await this.attempt(task);
      if (this.timers.isArmed("retry") || this.timers.isArmed("follow")) break;
    }
    this.running = false;
  }

  private take(): Task | null {
    const task = this.wanted;
    this.wanted = null;
    return task;
  }

  private async attempt(task: Task): Promise<void> {
    try {
      if (task === "baseline" || !this.hasBaseline) await this.readBaseline();
      else if (this.cutOff || this.closedTime > (this.drawings.toTime ?? -Infinity)) {
        await this.readDelta();
      }
      this.conflicts = 0;
      this.backOff.reset();
    } catch (error) {
      if (!this.ended) this.failed(task, asApiError(error));
    }
  }

  private async readBaseline(): Promise<void> {
    const { api } = this.dependencies;
    const delta = await api.liveFrame(this.seriesId, this.abort.signal);
    if (this.ended) return;
    this.hasBaseline = true;
    this.taken(fromBaseline(delta), delta);
  }

  private async readDelta(): Promise<void> {
    const query = { afterId: this.drawings.cursor, signal: this.abort.signal };
    const delta = await this.dependencies.api.pollDelta(this.seriesId, query);
    if (this.ended) return;
    if (delta === null) this.report(this.drawings, "ready");
    else this.taken(applyDelta(this.drawings, delta), delta);
  }

  private taken(drawings: Drawings, delta: DrawDelta): void {
    this.cutOff = delta.patch.length >= FULL_PATCH;
    if (this.cutOff) this.want("delta");
    this.report(drawings, "ready");
  }

  private failed(task: Task, error: ApiError): void {
    if (error.status === 409) this.conflicted(task);
    else if (error.status === 404 && EMPTY_DETAILS.includes(error.message)) this.foundNothing();
    else if (error.status === 404) this.turnOff();
    else {
      this.report(this.drawings, "error");
      this.retry("baseline", this.backOff.next());
    }
  }

  /** The ledger is behind the candles. */
  private conflicted(task: Task): void {
    this.conflicts += 1;
    const soon = this.conflicts <= BEHIND_TRIES;
    if (!soon) this.report(this.drawings, "behind");
    const delay = soon ? BEHIND_STEP_MS * this.conflicts : BEHIND_MS;
    // During a rebuild all pages wait; they must not all retry at the same moment.
    this.retry(task, delay * (0.75 + 0.5 * this.dependencies.random()));
  }

  private foundNothing(): void {
    this.hasBaseline = false;
    this.report(NO_DRAWINGS, "empty");
    this.retry("baseline", EMPTY_MS);
  }

  private turnOff(): void {
    this.report(NO_DRAWINGS, "off");
    this.timers.clearAll();
  }

  private retry(task: Task, delayMs: number): void {
    this.want(task);
    this.timers.clear("follow");
    this.timers.arm("retry", delayMs, () => void this.run());
  }

  private report(drawings: Drawings, status: OverlayStatus): void {
    if (this.drawings === drawings && this.status === status && drawings !== NO_DRAWINGS) return;
    this.drawings = drawings;
    this.status = status;
    this.listener({ drawings, status });
  }
}
