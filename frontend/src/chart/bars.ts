/** Bars of the candles in view, painted from the page's own list: the candles, and the volume. */

import type { IPrimitivePaneView } from "lightweight-charts";

import { positionsInView, scalesOf, type Scales } from "../drawings/scales";
import { Primitive, type Target } from "./primitive";
import type { ShownCandles } from "./shown-candles";

/** Where bars are painted, in pixels of the screen but for `scales`. */
export interface BarsInView {
  readonly context: CanvasRenderingContext2D;
  readonly scales: Scales;
  /** Pixels of the screen to one of the page, from left to right. */
  readonly across: number;
  /** Positions of the first and the last candle in view. */
  readonly first: number;
  readonly last: number;
  /** Of a value on the pane's scale: pixels from the top of the pane. */
  rowOf(value: number): number;
}

export abstract class Bars extends Primitive {
  protected readonly candles: ShownCandles;
  protected readonly views: readonly IPrimitivePaneView[];

  constructor(candles: ShownCandles) {
    super();
    this.candles = candles;
    const renderer = { draw: (target: Target) => this.paint(target) };
    this.views = [{ zOrder: () => "normal", renderer: () => renderer }];
  }

  protected abstract paintBars(view: BarsInView): void;

  private paint(target: Target): void {
    const scales = this.attachment === null ? null : scalesOf(this.attachment);
    // Values are linear on their scale: the first two coordinates determine all.
    const [zero, one] = [scales?.y(0) ?? null, scales?.y(1) ?? null];
    if (scales === null || zero === null || one === null) return;
    target.useBitmapCoordinateSpace((scope) => {
      const { context, mediaSize, horizontalPixelRatio: across, verticalPixelRatio: down } = scope;
      const [first, last] = positionsInView(scales, mediaSize.width, this.candles.count);
      const rowOf = (value: number): number => Math.round((zero + value * (one - zero)) * down);
      this.paintBars({ context, scales, across, first, last, rowOf });
    });
  }
}
