/** Work that is put off, so that the chart comes first. */

const NO_FRAME_MS = 200;

/** Runs `work` when the browser has painted what is there now; hidden tabs paint nothing. */
export function afterPaint(work: () => void): void {
  let waits = true;
  const run = (): void => {
    if (waits) work();
    waits = false;
  };
  window.requestAnimationFrame(() => window.setTimeout(run));
  window.setTimeout(run, NO_FRAME_MS);
}

/** How long work may wait for a candle: a frame of its own costs as much as one for both. */
export const SHARED_MS = 400;

/** Work that waits for something else to change the page, so that both are painted in one frame. */
export class SharedWork {
  private readonly waitMs: number;
  private readonly work: () => void;
  private timer = 0;

  /** `work` waits for `waitMs` at most. */
  constructor(waitMs: number, work: () => void) {
    this.waitMs = waitMs;
    this.work = work;
  }

  /** Has the work done with the next change of the page. */
  want(): void {
    this.timer ||= window.setTimeout(() => this.share(), this.waitMs);
  }

  /** The page changes: does the work now, if it is wanted. */
  share(): void {
    if (this.timer === 0) return;
    window.clearTimeout(this.timer);
    this.timer = 0;
    this.work();
  }
}

/** `make`, called once, when its result is first needed. */
export function once<Made>(make: () => Made): () => Made {
  let made: Made | undefined;
  return () => (made ??= make());
}
