/**
 * The volume of the candles in view, painted from the candles themselves.
 *
 * A series of the library would hold every volume twice more, as a row and as something to draw,
 * and go through all of them with each new one.
 */

import type { AutoscaleInfo, IPrimitivePaneView } from "lightweight-charts";

import { Primitive, type Target } from "../chart/primitive";
import { positionsInView, scalesOf, xOf } from "../drawings/scales";
import type { ShownCandles } from "../chart/shown-candles";
import type { Candle } from "trade-canvas-client/candle";

/** Narrower bars are all of one width: a pixel more would show. Pixels of the screen. */
const LEAST_UNEVEN = 4;

export class VolumeBars extends Primitive {
  /** The colour of a candle's bar. */
  color: (candle: Candle) => string = () => "";
  private readonly candles: ShownCandles;
  protected readonly views: readonly IPrimitivePaneView[];

  constructor(candles: ShownCandles) {
    super();
    this.candles = candles;
    const renderer = { draw: (target: Target) => this.paint(target) };
    this.views = [{ zOrder: () => "normal", renderer: () => renderer }];
  }

  /** From zero to the largest volume between two positions. */
  autoscaleInfo(from: number, to: number): AutoscaleInfo {
    let maxValue = 0;
    const last = Math.min(this.candles.count - 1, Math.floor(to));
    for (let index = Math.max(0, Math.ceil(from)); index <= last; index += 1) {
      maxValue = Math.max(maxValue, this.candles.at(index)?.volume ?? 0);
    }
    return { priceRange: { minValue: 0, maxValue } };
  }

  private paint(target: Target): void {
    const scales = this.attachment === null ? null : scalesOf(this.attachment);
    const [base, one] = [scales?.y(0) ?? null, scales?.y(1) ?? null];
    if (scales === null || base === null || one === null) return;
    target.useBitmapCoordinateSpace((scope) => {
      const { context, mediaSize, horizontalPixelRatio: across, verticalPixelRatio: down } = scope;
      const { spacing } = scales;
      const bottom = Math.round(base * down);
      const step = spacing * across;
      const gap = step <= 1 ? 0 : Math.max(1, Math.floor(across));
      const even = step < LEAST_UNEVEN ? Math.max(1, Math.floor(step) - gap) : null;
      const leftOf = (index: number): number =>
        Math.round((xOf(scales, index) - spacing / 2) * across);
      const [first, last] = positionsInView(scales, mediaSize.width, this.candles.count);
      for (let index = first, left = leftOf(first); index <= last; index += 1) {
        const candle = this.candles.at(index) as Candle;
        const next = leftOf(index + 1);
        const height = Math.max(1, Math.round(candle.volume * (base - one) * down));
        context.fillStyle = this.color(candle);
        context.fillRect(left, bottom - height, even ?? next - left - gap, height);
        left = next;
      }
    });
  }
}
