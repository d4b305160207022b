/**
 * Marks below candles in view, and no others: those after which some are missing, or partial ones.
 *
 * The plugin of the library goes through all candles with each new price.
 */

import type { IPrimitivePaneView, Logical } from "lightweight-charts";

import { Primitive, type Target } from "./primitive";
import type { ShownCandles } from "./shown-candles";

const USUAL_SIZE_PX = 7;
const DISTANCE = 3;

export class GapMarks extends Primitive {
  private readonly candles: ShownCandles;
  private readonly size: number;
  private times: readonly number[] = [];
  private color = "";
  protected readonly views: readonly IPrimitivePaneView[];

  constructor(candles: ShownCandles, sizePx = USUAL_SIZE_PX) {
    super();
    this.candles = candles;
    this.size = sizePx;
    const renderer = { draw: (target: Target) => this.paint(target) };
    this.views = [{ zOrder: () => "normal", renderer: () => renderer }];
  }

  /** Marks the candles of these times (UTC seconds), instead of the former ones. */
  show(times: readonly number[], color: string): void {
    const nothing = times.length === 0 && this.times.length === 0;
    this.times = times;
    this.color = color;
    if (!nothing) this.repaint();
  }

  private paint(target: Target): void {
    const { attachment, candles } = this;
    const scale = attachment?.chart.timeScale();
    const range = scale?.getVisibleLogicalRange();
    const first = range && candles.at(Math.max(0, Math.floor(range.from)));
    const last = range && candles.at(Math.min(candles.count - 1, Math.ceil(range.to)));
    if (!attachment || !scale || !first || !last) return;
    const isInView = (time: number): boolean => time >= first.candle_time && time <= last.candle_time;
    target.useMediaCoordinateSpace(({ context }) => {
      context.fillStyle = this.color;
      for (const time of this.times.filter(isInView)) {
        const index = candles.indexFrom(time);
        const x = scale.logicalToCoordinate(index as Logical);
        const y = attachment.series.priceToCoordinate(candles.at(index)?.low ?? 0);
        if (x === null || y === null) continue;
        const { size } = this;
        context.fillRect(Math.round(x - size / 2), Math.round(y + DISTANCE), size, size);
      }
    });
  }
}
