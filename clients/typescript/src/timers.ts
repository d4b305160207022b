/** Named timers: arming one again replaces it, and all can be cleared together. */

import type { Clock, TimerHandle } from "./ports.js";

export class Timers<Name extends string> {
  private readonly clock: Clock;
  private readonly running = new Map<Name, TimerHandle>();

  constructor(clock: Clock) {
    this.clock = clock;
  }

  arm(name: Name, delayMs: number, run: () => void): void {
    this.clear(name);
    const fire = (): void => {
      this.running.delete(name);
      run();
    };
    this.running.set(name, this.clock.setTimeout(fire, delayMs));
  }

  isArmed(name: Name): boolean {
    return this.running.has(name);
  }

  clear(name: Name): void {
    const handle = this.running.get(name);
    if (handle !== undefined) this.clock.clearTimeout(handle);
    this.running.delete(name);
  }

  clearAll(): void {
    for (const name of [...this.running.keys()]) this.clear(name);
  }
}
