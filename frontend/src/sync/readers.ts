/** What the drawings of the page are read with: ports that `Api` implements and tests replace. */

import type { DrawDelta } from "trade-canvas-client/instruction";

export interface DeltaQuery {
  /** The cursor of the previous answer. */
  readonly afterId: number;
  readonly signal: AbortSignal;
}

export interface DrawAnswer extends DrawDelta {
  /** Names the past of the server's store; absent or null when the server sent none. */
  readonly generation?: string | null;
}

export interface OverlayReader {
  liveFrame(seriesId: string, signal: AbortSignal): Promise<DrawAnswer>;
  /** What changed since, with the cursor to poll on from; null when nothing did. */
  pollDelta(seriesId: string, query: DeltaQuery): Promise<DrawAnswer | null>;
}

export interface AtTimeQuery {
  readonly atTime: number;
  readonly signal: AbortSignal;
}

export interface OlderReader {
  /** What was drawn at the last candle up to `atTime` (UTC seconds). */
  drawingsAt(seriesId: string, query: AtTimeQuery): Promise<DrawDelta>;
}
