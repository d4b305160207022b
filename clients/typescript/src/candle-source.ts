/** Where the candles of a series come from: the server's live series, or another source. */

import type { PushedMessage } from "./messages.js";
import type { Action, SeriesState, Step } from "./series-state.js";

export interface CandleSource {
  readonly state: SeriesState;
  /** Begins to read. */
  start(): void;
  /** Ends everything; no event follows. */
  stop(): void;
  /** Reads the candles before the first one. */
  loadOlder(): void;
  /** Starts again after an error, or makes the next attempt now. */
  retry?(): void;
  /** The network is back, or the page is visible again. */
  wake?(): void;
  /** The server has this closed candle of the series, UTC seconds. */
  headSeen?(time: number): void;
  /** Whether the exchange lists the market as halted or delisted. */
  halted?(isHalted: boolean): void;
}

export interface SourceEvents {
  /** Called after every action, with what it changed. */
  changed(step: Step, action: Action): void;
  /** Data derived from candles may have been rewritten; `reason` is for the user. */
  rewritten(reason: string | null): void;
  /** The cursor of the drawings that the page has; null: none are wanted. */
  drawings?(): number | null;
  /** The server sent something beside candles. */
  pushed?(message: PushedMessage): void;
  /** The series is subscribed on an open connection, or that was lost. */
  connected?(isConnected: boolean): void;
}

/** Makes the source of a series, not yet started. Throws when `seriesId` can not be parsed. */
export type OpenSource = (seriesId: string, events: SourceEvents) => CandleSource;
