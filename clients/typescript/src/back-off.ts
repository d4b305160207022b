/** Exponential back-off with jitter, so that many pages do not reconnect at the same moment. */

export class BackOff {
  private readonly firstMs: number;
  private readonly capMs: number;
  private readonly random: () => number;
  private failures = 0;

  constructor(firstMs: number, capMs: number, random: () => number) {
    this.firstMs = firstMs;
    this.capMs = capMs;
    this.random = random;
  }

  get attempts(): number {
    return this.failures;
  }

  /** Milliseconds to wait before the next attempt: between half of the step and all of it. */
  next(): number {
    const step = Math.min(this.capMs, this.firstMs * 2 ** this.failures);
    this.failures = Math.min(this.failures + 1, 30);
    return Math.round(step / 2 + (step / 2) * this.random());
  }

  reset(): void {
    this.failures = 0;
  }
}
