/** An answer that was requested before the page's script had loaded. */

import type { Answer, Fetch } from "trade-canvas-client/http";

export interface EarlyAnswer {
  /** What was requested, as `Api` writes it. */
  readonly path: string;
  readonly answer: Promise<{ readonly response: Response; readonly body: ArrayBuffer }>;
}

/** What `early.ts` requested. The window no longer has it: its text would stay in memory. */
export function takeEarlyAnswer(): EarlyAnswer | undefined {
  const { early } = window;
  delete window.early;
  return early;
}

/**
 * `fetch`, but the first request for the path of `early` gets that answer, unless it failed.
 *
 * An answer that is there already is used at once, before the browser paints a page without it.
 */
export function withEarlyAnswer(fetch: Fetch, early: EarlyAnswer | undefined): Fetch {
  let left = early;
  return (path, init) => {
    if (left?.path !== path) return fetch(path, init);
    const answer = left.answer.then(read, () => fetch(path, init));
    left = undefined;
    return Promise.race([answer, aborted(init.signal)]);
  };
}

function read({ response, body }: { response: Response; body: ArrayBuffer }): Answer {
  const { ok, status, headers } = response;
  return { ok, status, headers, arrayBuffer: () => Promise.resolve(body) };
}

/** Rejects when the request is given up, as fetch does. */
function aborted(signal: AbortSignal | null | undefined): Promise<never> {
  return new Promise((_, reject) => {
    signal?.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
  });
}
