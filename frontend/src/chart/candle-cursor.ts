/** The crosshair on a candle, moved by keys from candle to candle as a pointer moves it. */

import type { IChartApiBase, MouseEventParams, Time, UTCTimestamp } from "lightweight-charts";

import type { Candle } from "trade-canvas-client/candle";
import type { ShownCandles } from "./shown-candles";
import type { UnseenSeries } from "./unseen-series";

type Chart = Pick<
  IChartApiBase<Time>,
  "timeScale" | "subscribeCrosshairMove" | "setCrosshairPosition" | "clearCrosshairPosition"
>;

export class CandleCursor {
  private readonly chart: Chart;
  private readonly prices: UnseenSeries;
  private readonly shown: ShownCandles;
  private readonly seen: (isSeen: boolean) => void;
  private isSeen = false;
  /** Of its candle, UTC seconds. */
  private time: number | null = null;

  /** `seen` is called when the crosshair comes or goes, whether keys or a pointer move it. */
  constructor(
    chart: Chart,
    prices: UnseenSeries,
    shown: ShownCandles,
    seen: (isSeen: boolean) => void,
  ) {
    this.chart = chart;
    this.prices = prices;
    this.shown = shown;
    this.seen = seen;
    // The library keeps the crosshair at its pixel, whichever candle comes there.
    chart.timeScale().subscribeVisibleLogicalRangeChange(() => this.follow());
    chart.subscribeCrosshairMove(({ point, sourceEvent }: MouseEventParams<Time>) => {
      if (sourceEvent !== undefined) this.time = null;
      this.show(point !== undefined);
    });
  }

  /** Goes to the next candle, or with -1 to the one before; at first to the newest in view. */
  step(by: 1 | -1): Candle | null {
    const { shown, time } = this;
    const range = this.chart.timeScale().getVisibleLogicalRange();
    if (range === null || shown.count === 0) return null;
    const newest = Math.floor(range.to);
    const wanted = time === null ? newest : shown.indexFrom(time) + by;
    const index = Math.max(0, Math.min(shown.count - 1, wanted));
    this.bringIntoView(index, range);
    const candle = shown.at(index) ?? null;
    this.time = candle?.candle_time ?? null;
    this.follow();
    return candle;
  }

  /** Puts the crosshair on its candle again, after that moved or has another price. */
  follow(): void {
    const candle = this.time === null ? undefined : this.shown.at(this.shown.indexFrom(this.time));
    if (candle === undefined) return;
    const time = candle.candle_time as UTCTimestamp;
    this.chart.setCrosshairPosition(candle.close, time, this.prices);
    this.show(true);
  }

  /** Takes the crosshair away; returns whether it was on a candle. */
  leave(): boolean {
    if (this.time === null) return false;
    this.time = null;
    this.chart.clearCrosshairPosition();
    this.show(false);
    return true;
  }

  private show(isSeen: boolean): void {
    if (isSeen !== this.isSeen) this.seen(isSeen);
    this.isSeen = isSeen;
  }

  private bringIntoView(index: number, { from, to }: { from: number; to: number }): void {
    const scale = this.chart.timeScale();
    const away = index < from ? index - Math.ceil(from) : index > to ? index - Math.floor(to) : 0;
    if (away !== 0) scale.scrollToPosition(scale.scrollPosition() + away, false);
  }
}
