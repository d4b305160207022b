/** What a session reads from the server: a port that tests replace. */

import type { Candle } from "./candle.js";

export interface CandlePage {
  readonly candles: readonly Candle[];
  readonly serverHead: number | null;
  /** The server's clock by its Date header, milliseconds; null without that header. */
  readonly serverTimeMs: number | null;
  /** Every revision up to this epoch is in the candles; null when the server sent no epoch. */
  readonly epoch: number | null;
  /** Names the past of the server's store; null when the server sent none. Opaque. */
  readonly generation: string | null;
}

export interface CandleQuery {
  /** Exclusive lower bound, UTC seconds; without it the newest candles are read. */
  readonly since?: number | null;
  readonly limit: number;
  readonly signal?: AbortSignal;
}

export interface OlderQuery {
  /** Exclusive upper bound, UTC seconds. */
  readonly first: number;
  /** What is read must have the revisions up to this epoch, and be of this past. */
  readonly epoch: number | null;
  readonly generation: string | null;
  readonly signal?: AbortSignal;
}

/** No candles: there are none before. */
export type OlderPage = Pick<CandlePage, "candles" | "epoch">;

export interface CandleReader {
  candles(seriesId: string, query: CandleQuery): Promise<CandlePage>;
  /** The candles directly before `first`; null where only `candles` can read them. */
  older?(seriesId: string, query: OlderQuery): Promise<OlderPage | null>;
  /** The past of the series has changed. */
  forget?(seriesId: string): void;
}
