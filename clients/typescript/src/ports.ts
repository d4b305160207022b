/** What a session needs from its environment; tests replace it. */

export type TimerHandle = unknown;

export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  setTimeout(run: () => void, delayMs: number): TimerHandle;
  clearTimeout(handle: TimerHandle): void;
}

/** The part of WebSocket that is used. */
export interface Socket {
  onopen: (() => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: ((event: { code: number; reason: string }) => void) | null;
  send(text: string): void;
  close(): void;
}

/** A session's part of a connection. */
export interface SeriesSocket extends Socket {
  /** The connection does not work any more: closes it for all sessions that share it. */
  abandon(): void;
}

/** Opens a socket for the messages of a series. */
export type OpenSocket = (seriesId: string) => SeriesSocket;

export const systemClock: Clock = {
  now: () => Date.now(),
  setTimeout: (run, delayMs) => setTimeout(run, delayMs),
  clearTimeout: (handle) => clearTimeout(handle as number),
};
