/**
 * Keeps the drawings of one series in step with the server: a baseline, then what changed.
 *
 * The server sends changes over the socket, each from one cursor to the next; where one is missing,
 * the page asks once for what changed since its own. A server that sends none is asked after each
 * closed candle.
 *
 * Reads happen one at a time. A stopped session ignores answers that are still under way. Drawings
 * stay until newer ones arrive.
 */

import { asApiError, type ApiError } from "trade-canvas-client/http";
import { BackOff } from "trade-canvas-client/back-off";
import { applyChange, applyDelta, fromBaseline, NO_DRAWINGS, type Drawings } from "./drawings";
import { Timers } from "trade-canvas-client/timers";
import type { PushedMessage } from "trade-canvas-client/messages";
import type { Clock } from "trade-canvas-client/ports";
import type { DrawAnswer, OverlayReader } from "../sync/readers";

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

type DrawnMessage = Exclude<PushedMessage, { type: "health" }>;

/** How long after a subscribe the server may take to show that it sends changes. */
const GREETING_MS = 3_000;
/** How long after a closed candle its change may take. */
const LATE_MS = 5_000;
/** Most changes that wait for a read. */
const MOST_WAITING = 50;
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
  private readonly timers: Timers<"follow" | "retry" | "greeting" | "late">;
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
  /** Whether the server sends changes; `awaited` until it shows it after a subscribe. */
  private push: "off" | "awaited" | "on" = "off";
  /** The ledger may have been rewritten while the connection was lost. */
  private unsure = false;
  /** The server has changes that did not arrive. */
  private lacking = false;
  /** The server announced that the drawings are behind the candles. */
  private announcedBehind = false;
  private generation: string | null = null;
  /** What arrived during a read. */
  private waiting: DrawnMessage[] = [];

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
    if (first) {
      this.want("delta");
      void this.run();
    } else if (this.push === "on" && this.hasBaseline) this.expectChange();
    else if (this.push === "off" || !this.hasBaseline) {
      this.want("delta");
      this.runIn(FOLLOW_MS, FOLLOW_SPREAD_MS);
    }
  }

  /** The series was subscribed on an open connection, or that was lost. */
  connected(isConnected: boolean): void {
    this.push = isConnected ? "awaited" : "off";
    this.announcedBehind = false;
    this.waiting = [];
    this.timers.clear("late");
    if (isConnected) this.timers.arm("greeting", GREETING_MS, () => this.notGreeted());
    else this.timers.clear("greeting");
  }

  /** Whether the server sends the change of a closed candle by itself, right after it. */
  get expectsChange(): boolean {
    return this.push === "on" && this.status === "ready" && !this.running && !this.announcedBehind;
  }

  /** The server sent something beside candles. */
  pushed(message: PushedMessage): void {
    if (this.ended || message.type === "health") return;
    if (message.type === "draw_cursor") this.greeted(message.cursor === null);
    if (!this.running) this.take(message);
    else if (this.waiting.length < MOST_WAITING) this.waiting.push(message);
    else {
      this.lacking = true;
      this.want("delta");
    }
  }

  /** The ledger was, or may have been, rewritten: deltas do not contain what was removed. */
  rewritten(): void {
    if (this.ended || this.closedTime === -Infinity) return;
    // The cursor that the server is about to send shows whether anything changed.
    this.unsure = this.push === "awaited" && this.hasBaseline;
    if (this.unsure) return;
    this.want("baseline");
    this.runIn(REWRITTEN_MS, REWRITTEN_SPREAD_MS);
  }

  private get ended(): boolean {
    return this.abort.signal.aborted || this.status === "off";
  }

  private greeted(isBehind: boolean): void {
    this.push = "on";
    this.unsure = false;
    this.announcedBehind = isBehind;
    this.timers.clear("greeting");
  }

  private notGreeted(): void {
    this.push = "off";
    if (this.closedTime === -Infinity || this.status === "error") return;
    this.want(this.unsure ? "baseline" : "delta");
    this.unsure = false;
    this.runIn(0, FOLLOW_SPREAD_MS);
  }

  /** Asks for the change of a closed candle if it does not arrive. */
  private expectChange(): void {
    if (this.timers.isArmed("late")) return;
    this.timers.arm("late", LATE_MS, () => {
      const { toTime } = this.drawings;
      if (!this.announcedBehind && this.closedTime > (toTime ?? -Infinity)) this.catchUp();
    });
  }

  /** Takes over a message, or reads what it shows to be missing. */
  private take(message: DrawnMessage): void {
    const { generation } = message;
    if (!this.hasBaseline || this.status === "error") {
      const isRead = this.status === "behind" || this.status === "empty";
      if (isRead && !this.announcedBehind) this.readNow("baseline");
      return;
    }
    if (this.announcedBehind) {
      this.report(this.drawings, "behind");
      return;
    }
    const change = message.type === "draw_delta" ? message.change : null;
    const cursor = message.type === "draw_delta" ? message.change.cursor : (message.cursor ?? 0);
    if (generation !== null && this.generation !== null && generation !== this.generation) {
      this.rewritten();
    } else if (cursor <= this.drawings.cursor) this.report(this.drawings, "ready");
    else if (change !== null && change.previousCursor === this.drawings.cursor) {
      this.report(applyChange(this.drawings, change), "ready");
    } else this.catchUp();
  }

  private catchUp(): void {
    this.lacking = true;
    this.readNow("delta");
  }

  private readNow(task: Task): void {
    this.want(task);
    this.timers.clear("retry");
    this.runIn(0, FOLLOW_SPREAD_MS);
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
    for (let task = this.next(); task !== null && !this.ended; task = this.next()) {
      this.timers.clear("retry");
      await this.attempt(task);
      if (this.timers.isArmed("retry") || this.timers.isArmed("follow")) break;
    }
    this.running = false;
    for (const message of this.waiting.splice(0)) if (!this.ended) this.take(message);
  }

  private next(): Task | null {
    const task = this.wanted;
    this.wanted = null;
    return task;
  }

  private async attempt(task: Task): Promise<void> {
    try {
      if (task === "baseline" || !this.hasBaseline) await this.readBaseline();
      else if (this.lacks) await this.readDelta();
      this.conflicts = 0;
      this.backOff.reset();
    } catch (error) {
      if (!this.ended) this.failed(task, asApiError(error));
    }
  }

  private get lacks(): boolean {
    if (this.cutOff || this.lacking) return true;
    return this.closedTime > (this.drawings.toTime ?? -Infinity);
  }

  private async readBaseline(): Promise<void> {
    const { api } = this.dependencies;
    this.lacking = false;
    const delta = await api.liveFrame(this.seriesId, this.abort.signal);
    if (this.ended) return;
    this.hasBaseline = true;
    this.taken(fromBaseline(delta), delta);
  }

  private async readDelta(): Promise<void> {
    const query = { afterId: this.drawings.cursor, signal: this.abort.signal };
    // Set again by what is dropped meanwhile.
    this.lacking = false;
    const delta = await this.dependencies.api.pollDelta(this.seriesId, query);
    if (this.ended) return;
    if (delta === null) this.report(this.drawings, "ready");
    else this.taken(applyDelta(this.drawings, delta), delta);
  }

  private taken(drawings: Drawings, delta: DrawAnswer): void {
    this.generation = delta.generation ?? null;
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
    this.lacking = true;
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
