/**
 * The volume of the candles in view, painted from the candles themselves.
 *
 * A series of the library would hold every volume twice more, as a row and as something to draw,
 * and go through all of them with each new one.
 */

import type { AutoscaleInfo } from "lightweight-charts";

import { Bars, type BarsInView } from "../chart/bars";
import { xOf } from "../drawings/scales";
import type { Candle } from "trade-canvas-client/candle";

/** Narrower bars are all of one width: a pixel more would show. Pixels of the screen. */
const LEAST_UNEVEN = 4;

export class VolumeBars extends Bars {
  /** The colour of a candle's bar. */
  color: (candle: Candle) => string = () => "";

  /** From zero to the largest volume between two positions. */
  autoscaleInfo(from: number, to: number): AutoscaleInfo {
    let maxValue = 0;
    const last = Math.min(this.candles.count - 1, Math.floor(to));
    for (let index = Math.max(0, Math.ceil(from)); index <= last; index += 1) {
      maxValue = Math.max(maxValue, this.candles.at(index)?.volume ?? 0);
    }
    return { priceRange: { minValue: 0, maxValue } };
  }

  protected paintBars({ context, scales, across, first, last, rowOf }: BarsInView): void {
    const { spacing } = scales;
    const bottom = rowOf(0);
    const step = spacing * across;
    const gap = step <= 1 ? 0 : Math.max(1, Math.floor(across));
    const even = step < LEAST_UNEVEN ? Math.max(1, Math.floor(step) - gap) : null;
    const leftOf = (index: number): number =>
      Math.round((xOf(scales, index) - spacing / 2) * across);
    for (let index = first, left = leftOf(first); index <= last; index += 1) {
      const candle = this.candles.at(index) as Candle;
      const next = leftOf(index + 1);
      const top = Math.min(rowOf(candle.volume), bottom - 1);
      context.fillStyle = this.color(candle);
      context.fillRect(left, top, even ?? next - left - gap, bottom - top);
      left = next;
    }
  }
}
