/** A clock that moves only when advanced, and settles promises as it moves. */

import type { Clock } from "../../src/ports.js";

interface Timer {
  readonly due: number;
  readonly run: () => void;
}

export class FakeClock implements Clock {
  private time: number;
  private readonly timers = new Set<Timer>();

  constructor(time = 1_700_000_000_000) {
    this.time = time;
  }

  now(): number {
    return this.time;
  }

  setTimeout(run: () => void, delayMs: number): Timer {
    const timer = { due: this.time + delayMs, run };
    this.timers.add(timer);
    return timer;
  }

  clearTimeout(handle: unknown): void {
    this.timers.delete(handle as Timer);
  }

  get pending(): number {
    return this.timers.size;
  }

  async advance(ms: number): Promise<void> {
    const end = this.time + ms;
    await settle();
    for (let timer = this.nextDue(end); timer; timer = this.nextDue(end)) {
      this.timers.delete(timer);
      this.time = Math.max(this.time, timer.due);
      timer.run();
      await settle();
    }
    this.time = end;
  }

  private nextDue(end: number): Timer | undefined {
    const due = [...this.timers].filter((timer) => timer.due <= end);
    return due.sort((left, right) => left.due - right.due)[0];
  }
}

/** Settles every promise that can be settled. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 30; turn += 1) await Promise.resolve();
}
