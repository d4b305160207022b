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

/** A function that has `work` done within `delayMs`, once for all calls meanwhile. */
export function atMostEvery(delayMs: number, work: () => void): () => void {
  let armed = false;
  return () => {
    if (armed) return;
    armed = true;
    window.setTimeout(() => {
      armed = false;
      work();
    }, delayMs);
  };
}

/** `make`, called once, when its result is first needed. */
export function once<Made>(make: () => Made): () => Made {
  let made: Made | undefined;
  return () => (made ??= make());
}
