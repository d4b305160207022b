/** Moves of the view by keys, carried out together with the next frame. */

import type { ITimeScaleApi, Time } from "lightweight-charts";

/** From candle to candle, pixels. */
export const LEAST_SPACING = 0.5;
const MOST_SPACING = 50;

type Scale = Pick<
  ITimeScaleApi<Time>,
  "applyOptions" | "getVisibleLogicalRange" | "options" | "scrollPosition" | "scrollToPosition"
>;

/**
 * Until the next frame the library reports the old view, so moves within a frame are added up. What
 * goes to a place, and not by so much, replaces those before it.
 */
export class ViewMoves {
  private readonly scale: Scale;
  private candles = 0;
  private factor = 1;
  private frame = 0;

  constructor(scale: Scale) {
    this.scale = scale;
  }

  /** Moves the view by so many candles; back in time if negative. */
  pan(candles: number): void {
    this.candles += candles;
    this.soon();
  }

  /** Makes candles wider, or with a factor below 1 narrower. */
  zoom(factor: number): void {
    this.factor *= factor;
    this.soon();
  }

  /** Makes candles so wide, pixels. */
  setSpacing(barSpacing: number): void {
    this.factor = 1;
    this.scale.applyOptions({ barSpacing });
  }

  /** Shows the first loaded candle at the left edge. */
  toStart(): void {
    const range = this.scale.getVisibleLogicalRange();
    if (range === null) return;
    this.candles = -range.from;
    this.soon();
  }

  /**
   * Shows the newest candle, so many candles from the right edge. Without animation, which a live
   * update would interrupt.
   */
  toEnd(rightOffset: number): void {
    this.candles = 0;
    this.scale.scrollToPosition(rightOffset, false);
  }

  end(): void {
    window.cancelAnimationFrame(this.frame);
  }

  private soon(): void {
    this.frame ||= window.requestAnimationFrame(() => this.move());
  }

  private move(): void {
    const { scale, candles, factor } = this;
    [this.candles, this.factor, this.frame] = [0, 1, 0];
    if (factor !== 1) {
      const spacing = scale.options().barSpacing * factor;
      scale.applyOptions({ barSpacing: Math.min(MOST_SPACING, Math.max(LEAST_SPACING, spacing)) });
    }
    if (candles !== 0) scale.scrollToPosition(scale.scrollPosition() + candles, false);
  }
}
