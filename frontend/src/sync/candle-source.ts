/** Where the candles of a series come from: the server's live series, or another source. */

import type { SeriesState, Step } from "./series-state";

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
}

export interface SourceEvents {
  /** Called after every change of the state. */
  changed(step: Step): void;
  /** Data derived from candles may have been rewritten; `reason` is for the user. */
  rewritten(reason: string | null): void;
}

/** Makes the source of a series, not yet started. Throws when `seriesId` can not be parsed. */
export type OpenSource = (seriesId: string, events: SourceEvents) => CandleSource;
