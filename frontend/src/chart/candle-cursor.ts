/** The crosshair on a candle, moved by keys from candle to candle as a pointer moves it. */

import type { IChartApiBase, MouseEventParams, Time } from "lightweight-charts";

import type { Candle } from "trade-canvas-client/candle";
import type { ShownCandles } from "./shown-candles";
import { axisTime, timeOf } from "./time-axis";
import type { UnseenSeries } from "./unseen-series";

type Chart = Pick<
  IChartApiBase<Time>,
  "timeScale" | "subscribeCrosshairMove" | "setCrosshairPosition" | "clearCrosshairPosition"
>;

export interface CursorEvents {
  /** The crosshair came or went, whether keys or a pointer move it. */
  seen(isSeen: boolean): void;
  /** Time of the candle under it, UTC seconds; null when it left the chart. */
  pointed(time: number | null): void;
}

export class CandleCursor {
  private readonly chart: Chart;
  private readonly prices: UnseenSeries;
  private readonly shown: ShownCandles;
  private readonly events: CursorEvents;
  private isSeen = false;
  /** Of its candle, UTC seconds. */
  private time: number | null = null;

  constructor(chart: Chart, prices: UnseenSeries, shown: ShownCandles, events: CursorEvents) {
    this.chart = chart;
    this.prices = prices;
    this.shown = shown;
    this.events = events;
    chart.timeScale().subscribeVisibleLogicalRangeChange(() => this.follow());
    chart.subscribeCrosshairMove(({ point, time: place, sourceEvent }: MouseEventParams<Time>) => {
      const time = place === undefined ? null : timeOf(place);
      if (sourceEvent !== undefined) this.time = null;
      this.show(point !== undefined);
      // The library keeps the crosshair at its pixel, whichever candle comes there.
      if (time !== this.time) this.follow();
      events.pointed(this.time ?? time);
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
    if (this.time === null) return;
    const index = this.shown.indexFrom(this.time);
    const candle = this.shown.at(index);
    const range = this.chart.timeScale().getVisibleLogicalRange();
    if (candle === undefined || range === null) return;
    // Out of view the library would put it at the edge, on another candle.
    if (index < range.from || index > range.to) return this.hide();
    this.chart.setCrosshairPosition(candle.close, axisTime(candle.candle_time), this.prices);
    this.show(true);
  }

  /** Takes the crosshair away; returns whether it was on a candle. */
  leave(): boolean {
    if (this.time === null) return false;
    this.time = null;
    this.hide();
    return true;
  }

  private hide(): void {
    if (!this.isSeen) return;
    this.show(false);
    this.chart.clearCrosshairPosition();
  }

  private show(isSeen: boolean): void {
    if (isSeen !== this.isSeen) this.events.seen(isSeen);
    this.isSeen = isSeen;
  }

  private bringIntoView(index: number, { from, to }: { from: number; to: number }): void {
    const scale = this.chart.timeScale();
    const away = index < from ? index - Math.ceil(from) : index > to ? index - Math.floor(to) : 0;
    if (away !== 0) scale.scrollToPosition(scale.scrollPosition() + away, false);
  }
}
