/**
 * Marks below the candles after which some are missing: those in view, and no others.
 *
 * The plugin of the library goes through all candles with each new price.
 */

import type {
  IPrimitivePaneView,
  ISeriesPrimitive,
  Logical,
  SeriesAttachedParameter,
  Time,
} from "lightweight-charts";

import { repaint } from "./repaint";
import type { ShownCandles } from "./shown-candles";

type Target = Parameters<NonNullable<ReturnType<IPrimitivePaneView["renderer"]>>["draw"]>[0];

const SIZE = 7;
const DISTANCE = 3;

export class GapMarks implements ISeriesPrimitive<Time> {
  private readonly candles: ShownCandles;
  private times: readonly number[] = [];
  private color = "";
  private attachment: SeriesAttachedParameter<Time> | null = null;
  private readonly views: readonly IPrimitivePaneView[];

  constructor(candles: ShownCandles) {
    this.candles = candles;
    const renderer = { draw: (target: Target) => this.paint(target) };
    this.views = [{ zOrder: () => "normal", renderer: () => renderer }];
  }

  /** Marks the candles of these times (UTC seconds), instead of the former ones. */
  show(times: readonly number[], color: string): void {
    const nothing = times.length === 0 && this.times.length === 0;
    this.times = times;
    this.color = color;
    if (!nothing && this.attachment !== null) repaint(this.attachment);
  }

  attached(attachment: SeriesAttachedParameter<Time>): void {
    this.attachment = attachment;
  }

  detached(): void {
    this.attachment = null;
  }

  paneViews(): readonly IPrimitivePaneView[] {
    return this.views;
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
        context.fillRect(Math.round(x - SIZE / 2), Math.round(y + DISTANCE), SIZE, SIZE);
      }
    });
  }
}
