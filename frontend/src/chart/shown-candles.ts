/** The candles on a chart by their position from the left. */

import { lowerBound } from "trade-canvas-client/candle-list";
import type { Candle } from "trade-canvas-client/candle";

export class ShownCandles {
  private candles: readonly Candle[] = [];
  private forming: Candle | null = null;

  show({ candles, forming }: { candles: readonly Candle[]; forming: Candle | null }): void {
    this.candles = candles;
    this.forming = forming;
  }

  /** How many there are, the open one included. */
  get count(): number {
    return this.candles.length + (this.forming === null ? 0 : 1);
  }

  at(index: number): Candle | undefined {
    return this.candles[index] ?? (index === this.candles.length ? (this.forming ?? undefined) : undefined);
  }

  /** Position of the first candle at or after `time` (UTC seconds). */
  indexFrom(time: number): number {
    const index = lowerBound(this.candles, time);
    const isLater = index === this.candles.length && (this.forming?.candle_time ?? time) < time;
    return isLater ? index + 1 : index;
  }
}
