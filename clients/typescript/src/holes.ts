/** Holes between neighbouring candles, to be marked on the chart. */

import type { Candle } from "./candle.js";
import { candlesBetween, closeTimeOf, type Timeframe } from "./timeframe.js";

export interface Hole {
  /** First missing candle_time, UTC seconds. */
  readonly from: number;
  /** Time of the candle after the hole, UTC seconds. */
  readonly to: number;
  readonly missing: number;
}

/** Every pair of neighbours further apart than one timeframe, oldest first. */
export function findHoles(candles: readonly Candle[], timeframe: Timeframe): Hole[] {
  const holes: Hole[] = [];
  let previous: Candle | undefined;
  for (const candle of candles) {
    if (previous !== undefined) {
      const distance = candle.candle_time - previous.candle_time;
      if (distance > timeframe.seconds) {
        holes.push({
          from: closeTimeOf(timeframe, previous.candle_time),
          to: candle.candle_time,
          missing: candlesBetween(timeframe, previous.candle_time, candle.candle_time),
        });
      }
    }
    previous = candle;
  }
  return holes;
}
