/** The candles in view: a wick and a body each. */

import type { AutoscaleInfo } from "lightweight-charts";

import type { Candle } from "trade-canvas-client/candle";
import { xOf } from "../drawings/scales";
import { Bars, type BarsInView } from "./bars";

/** Closer bodies touch, or little would be left of them. Pixels from candle to candle. */
const LEAST_APART = 4;
/** The share of that which is left free otherwise. */
const APART = 0.2;

/** Of a rising candle, which closes at its open or above, and of a falling one. */
export interface CandleColors {
  readonly up: string;
  readonly down: string;
}

export class CandleBars extends Bars {
  colors: CandleColors = { up: "", down: "" };

  /** From the lowest to the highest price between two positions. */
  autoscaleInfo(from: number, to: number): AutoscaleInfo | null {
    let [minValue, maxValue] = [Infinity, -Infinity];
    const last = Math.min(this.candles.count - 1, Math.floor(to));
    for (let index = Math.max(0, Math.ceil(from)); index <= last; index += 1) {
      const { low, high } = this.candles.at(index) as Candle;
      if (low < minValue) minValue = low;
      if (high > maxValue) maxValue = high;
    }
    return minValue > maxValue ? null : { priceRange: { minValue, maxValue } };
  }

  protected paintBars({ context, scales, across, first, last, rowOf }: BarsInView): void {
    const { wick, body } = widths(scales.spacing, across);
    for (let index = first; index <= last; index += 1) {
      const { open, high, low, close } = this.candles.at(index) as Candle;
      const middle = Math.round(xOf(scales, index) * across);
      const [from, to] = [rowOf(Math.max(open, close)), rowOf(Math.min(open, close))];
      const top = rowOf(high);
      context.fillStyle = close >= open ? this.colors.up : this.colors.down;
      context.fillRect(middle - (wick >> 1), top, wick, rowOf(low) - top + 1);
      if (body > wick) context.fillRect(middle - (body >> 1), from, body, to - from + 1);
    }
  }
}

/**
 * Widths of a wick and of a body in pixels of the screen, for candles that are `spacing` apart on
 * the page. Both are odd or both are even, so that the wick is in the middle.
 */
export function widths(spacing: number, across: number): { wick: number; body: number } {
  const step = spacing * across;
  const wick = Math.max(1, Math.floor(across));
  const apart = spacing < LEAST_APART ? 0 : Math.max(1, Math.round(step * APART));
  const body = Math.floor(step - apart);
  return { wick, body: Math.max(wick, body - ((body - wick) & 1)) };
}
