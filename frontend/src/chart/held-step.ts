/** A closed candle that waits for its drawings, so that both are drawn in one frame. */

import { lastClosedTime, type Step } from "trade-canvas-client/series-state";
import { Timers } from "trade-canvas-client/timers";
import type { Clock } from "trade-canvas-client/ports";

/** How long it waits. */
const HELD_MS = 40;

export class HeldStep {
  private readonly timers: Timers<"held">;
  private readonly show: (step: Step) => void;
  private held: Step | null = null;
  /** The newest closed candle that is shown, UTC seconds. */
  private shownTo: number | null = null;

  /** `show` is called with each step, in their order. */
  constructor(clock: Clock, show: (step: Step) => void) {
    this.timers = new Timers(clock);
    this.show = show;
  }

  /** Shows a step, later if it closes a candle whose drawings are about to come. */
  follow(step: Step, expectsDrawings: () => boolean): void {
    this.release();
    const closed = lastClosedTime(step.state);
    const closes = closed !== this.shownTo && step.change.kind === "update";
    if (closes && expectsDrawings()) {
      this.held = step;
      this.timers.arm("held", HELD_MS, () => this.release());
      return;
    }
    this.shownTo = closed;
    this.show(step);
  }

  /** Shows what waits, now. */
  release(): void {
    const { held } = this;
    if (held === null) return;
    this.held = null;
    this.timers.clear("held");
    this.shownTo = lastClosedTime(held.state);
    this.show(held);
  }

  /** Forgets what waits, for another series. */
  clear(): void {
    this.timers.clearAll();
    this.held = null;
    this.shownTo = null;
  }
}
