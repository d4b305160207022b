/** What the sessions need from the browser; tests replace it. */

export type TimerHandle = unknown;

export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  setTimeout(run: () => void, delayMs: number): TimerHandle;
  clearTimeout(handle: TimerHandle): void;
}

/** The part of the browser's WebSocket that is used. */
export interface Socket {
  onopen: (() => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: ((event: { code: number; reason: string }) => void) | null;
  send(text: string): void;
  close(): void;
}

/** A session's part of the page's connection. */
export interface SeriesSocket extends Socket {
  /** The connection does not work any more: closes it for all sessions that share it. */
  abandon(): void;
}

/** Opens a socket for the messages of a series. */
export type OpenSocket = (seriesId: string) => SeriesSocket;

/** The part of the browser's EventSource that is used. */
export interface EventStream {
  /** 2 once the browser does not reconnect any more. */
  readonly readyState: number;
  addEventListener(type: string, listener: (event: { data?: unknown }) => void): void;
  close(): void;
}

export type OpenEventStream = (path: string) => EventStream;

/** An address of the server, which may serve the page below a prefix: `/api/…` is beside it. */
export function besideThePage(path: string, page = window.location.href): URL {
  return new URL(path.replace(/^\//, ""), new URL(".", page));
}

export const openBrowserEventStream: OpenEventStream = (path) =>
  new EventSource(besideThePage(path));

export const browserClock: Clock = {
  now: () => Date.now(),
  setTimeout: (run, delayMs) => window.setTimeout(run, delayMs),
  clearTimeout: (handle) => window.clearTimeout(handle as number),
};

/** Opens `/ws/market` on the page's own host, beside the page. */
export function openBrowserSocket(): Socket {
  const address = besideThePage("/ws/market");
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  return new WebSocket(address) as Socket;
}
