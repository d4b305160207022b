/** The chart: applies each `ChartChange`; where candles come from is not its concern. */

import {
  ColorType,
  CrosshairMode,
  LineStyle,
  type DeepPartial,
  type IChartApiBase,
  type PriceFormat,
  type TickMarkType,
  type Time,
  type TimeChartOptions,
} from "lightweight-charts";

import {
  axisBase,
  formatOpenTime,
  formatPrice,
  type Lengths,
  priceUnit,
  type PriceStep,
  type PriceUnit,
} from "../i18n/format";
import type { Zone } from "../i18n/zone";
import { CandleBars } from "./candle-bars";
import { CandleCursor } from "./candle-cursor";
import { GapMarks } from "./gap-marks";
import { LastPrice, type LastPriceLook } from "./last-price";
import { LibraryRows } from "./library-rows";
import { ShownCandles } from "./shown-candles";
import { TimesAhead } from "./times-ahead";
import { addUnseenSeries, type UnseenSeries } from "./unseen-series";
import { LEAST_SPACING, ViewMoves } from "./view-moves";
import { ViewWatch, type ViewEvents } from "./view-watch";
import { axisTime, createZonedChart, tickText, timeOf, ZonedAxis } from "./time-axis";
import type { Candle } from "trade-canvas-client/candle";
import type { ChartChange } from "trade-canvas-client/chart-change";
import type { Hole } from "trade-canvas-client/holes";
import { closeTimeOf, type Timeframe } from "trade-canvas-client/timeframe";
import type { SeriesState } from "trade-canvas-client/series-state";
import type { StudyHost } from "../studies/study";
import type { ChartTheme } from "./theme";

const RIGHT_OFFSET = 6;
const BAR_SPACING = 8;
const NARROW_BAR_SPACING = 6;
const UNIT_SAMPLE = 300;
const PARTIAL_SIZE_PX = 4;
const RECENT_HOLES = 500;

/** Asked of the window: the root's own width would have the whole page laid out for it. */
const NARROW = window.matchMedia("(max-width: 639px)");

/** Users who want less motion get a chart that stops with the finger. */
const CALM = window.matchMedia("(prefers-reduced-motion: reduce)");

export interface ChartEvents extends ViewEvents {
  /** Time under the crosshair, UTC seconds; null when it left the chart. */
  pointed(time: number | null): void;
}

export class CandleChart {
  private readonly axis = new ZonedAxis();
  private readonly chart: IChartApiBase<Time>;
  /** The first series, which has no candles: the library writes the price axis as it says. */
  private readonly axisSeries: UnseenSeries;
  private readonly rows: LibraryRows;
  private readonly ahead: TimesAhead;
  private readonly watch: ViewWatch;
  private readonly lastPrice = new LastPrice();
  private readonly shown = new ShownCandles();
  private readonly bars = new CandleBars(this.shown);
  private readonly gapMarks = new GapMarks(this.shown);
  private readonly partialMarks = new GapMarks(this.shown, PARTIAL_SIZE_PX);
  /** The crosshair as keys move it. */
  readonly cursor: CandleCursor;
  private readonly calmed = (): void => this.chart.applyOptions({ kineticScroll: kineticScroll() });
  private theme: ChartTheme;
  private shownSeries = "";
  private shownHoles: readonly Hole[] = [];
  private lastCandle: Candle | null = null;
  private step: PriceStep | null = null;
  private sample: readonly number[] = [];
  private unit = priceUnit(null, []);
  private timeframe: Lengths = { seconds: 60 };
  private readonly moves: ViewMoves;

  constructor(root: HTMLElement, theme: ChartTheme, events: ChartEvents) {
    this.theme = theme;
    this.chart = createZonedChart(root, this.axis, this.options());
    const add = (): UnseenSeries => addUnseenSeries(this.chart, priceFormatOf(this.unit));
    this.axisSeries = add();
    this.rows = new LibraryRows(add);
    this.ahead = new TimesAhead(this.axisSeries);
    this.bars.colors = theme;
    this.prices.attachPrimitive(this.bars);
    this.prices.attachPrimitive(this.lastPrice);
    this.prices.attachPrimitive(this.gapMarks);
    this.prices.attachPrimitive(this.partialMarks);
    const timeFrom = (index: number): number | null =>
      this.shown.at(Math.max(0, index))?.candle_time ?? null;
    this.moves = new ViewMoves(this.chart.timeScale());
    this.watch = new ViewWatch(this.chart.timeScale(), timeFrom, events);
    this.cursor = new CandleCursor(this.chart, this.prices, this.shown, {
      seen: (isSeen) => root.classList.toggle("has-crosshair", isSeen),
      pointed: (time) => events.pointed(time),
    });
    CALM.addEventListener("change", this.calmed);
  }

  /** On which prices have coordinates. */
  private get prices(): UnseenSeries {
    return this.rows.newest;
  }

  /** How prices of the series are written. */
  get priceUnit(): PriceUnit {
    return this.unit;
  }

  /** Writes prices by the exchange's step, or by the candles while it is null. */
  setPriceStep(step: PriceStep | null): void {
    this.step = step;
    this.fitUnit();
  }

  /** What studies draw on. */
  get host(): StudyHost {
    return { chart: this.chart, prices: this.prices, theme: this.theme };
  }

  /** The last price as it is shown; null without one. */
  get shownPrice(): LastPriceLook | null {
    return this.lastPrice.shown;
  }

  apply(state: SeriesState, change: ChartChange): void {
    this.shown.show(state);
    if (change.kind === "replace") this.replace(state);
    else if (change.kind === "update") {
      for (const candle of change.candles) this.update(candle, state.timeframe);
    }
    this.markHoles(state.holes);
  }

  /**
   * Shows times in this zone from the next replacement on: the library weighs the labels of
   * candles only when they are new to it.
   */
  setZone(zone: Zone): void {
    this.axis.zone = zone;
  }

  /** Runs `work`, and shows the same candles as before. */
  keepingView(work: () => void): void {
    const range = this.chart.timeScale().getVisibleLogicalRange();
    work();
    if (range !== null) this.chart.timeScale().setVisibleLogicalRange(range);
  }

  setTheme(theme: ChartTheme): void {
    this.theme = theme;
    this.bars.colors = theme;
    this.chart.applyOptions(this.look());
  }

  /**
   * Shows the newest price, in gray unless it is fresh; `countdown` is the time left until its
   * candle closes, if known.
   */
  showLast(candle: Candle | null, countdown: string | null, isFresh: boolean): void {
    const look = candle && {
      price: candle.close,
      text: formatPrice(candle.close, this.unit),
      color: isFresh ? this.colorOf(candle) : this.theme.countdown,
      countdown,
      countdownColor: this.theme.countdown,
    };
    // A candle that changed has the chart drawn again already.
    this.lastPrice.show(look, candle !== this.lastCandle);
    this.lastCandle = candle;
  }

  private colorOf({ open, close }: Candle): string {
    return close >= open ? this.theme.up : this.theme.down;
  }

  remove(): void {
    this.watch.end();
    this.moves.end();
    CALM.removeEventListener("change", this.calmed);
    this.chart.remove();
  }

  /** Whether the view is close to the first candle. */
  get isNearStart(): boolean {
    return this.watch.isNearStart;
  }

  /** Of the prices, pixels; 0 before they are painted. */
  get axisWidth(): number {
    return this.prices.priceScale().width();
  }

  /** A price as the library writes it. */
  axisPrice(price: number): string {
    return this.prices.priceFormatter().format(price);
  }

  /** Times of the candles that are painted; NaN for one whose place on the axis has another time. */
  heldTimes(): number[] {
    const scale = this.chart.timeScale();
    return Array.from({ length: this.shown.count }, (_, index) => {
      const time = this.shown.at(index)?.candle_time ?? NaN;
      return scale.timeToIndex(axisTime(time)) === index ? time : NaN;
    });
  }

  scrollToEnd(): void {
    this.moves.toEnd(RIGHT_OFFSET);
  }

  /** Moves the view by so many candles; back in time if negative. */
  pan(candles: number): void {
    this.moves.pan(candles);
  }

  /** Makes candles wider, or with a factor below 1 narrower. */
  zoom(factor: number): void {
    this.moves.zoom(factor);
  }

  zoomToNormal(): void {
    const scale = this.prices.priceScale();
    // Even the same value has all candles in view gone through.
    if (!scale.options().autoScale) scale.applyOptions({ autoScale: true });
    this.moves.setSpacing(normalSpacing());
  }

  /** Shows the first loaded candle at the left edge. */
  scrollToStart(): void {
    this.moves.toStart();
  }

  /** Draws at once in this size; null follows the element again. */
  setSize(size: { readonly width: number; readonly height: number } | null): void {
    this.chart.applyOptions({ autoSize: size === null });
    if (size !== null) this.chart.resize(size.width, size.height, true);
    // The library keeps a fixed size on its element, which would cut the chart off.
    else Object.assign(this.chart.chartElement().style, { width: "100%", height: "100%" });
  }

  private options(): DeepPartial<TimeChartOptions> {
    const look = this.look();
    return {
      ...look,
      autoSize: true,
      rightPriceScale: { ...look.rightPriceScale, scaleMargins: { top: 0.12, bottom: 0.08 } },
      timeScale: {
        ...look.timeScale,
        rightOffset: RIGHT_OFFSET,
        barSpacing: normalSpacing(),
        minBarSpacing: LEAST_SPACING,
        timeVisible: true,
        secondsVisible: true,
        allowShiftVisibleRangeOnWhitespaceReplacement: true,
        tickMarkFormatter: (time: Time, type: TickMarkType) =>
          tickText(timeOf(time), type, this.axis.zone),
      },
      localization: {
        timeFormatter: (time: Time) =>
          formatOpenTime(timeOf(time), this.axis.zone, this.timeframe),
      },
      kineticScroll: kineticScroll(),
    };
  }

  /** The options that depend on the theme. */
  private look(): DeepPartial<TimeChartOptions> {
    const { theme } = this;
    const line = {
      color: theme.crosshair,
      style: LineStyle.Dashed,
      labelBackgroundColor: theme.crosshairLabel,
    };
    return {
      layout: {
        background: { type: ColorType.Solid, color: theme.background },
        textColor: theme.text,
        fontFamily: theme.font,
        fontSize: 11,
        attributionLogo: true,
        panes: { separatorColor: theme.border, enableResize: true },
      },
      grid: { vertLines: { color: theme.grid }, horzLines: { color: theme.grid } },
      crosshair: { mode: CrosshairMode.Normal, vertLine: line, horzLine: line },
      rightPriceScale: { borderColor: theme.border },
      timeScale: { borderColor: theme.border },
    };
  }

  private replace(state: SeriesState): void {
    const shown = state.forming === null ? state.candles : [...state.candles, state.forming];
    const fresh = this.shownSeries !== state.seriesId || this.rows.isEmpty;
    if (fresh) this.cursor.leave();
    this.shownSeries = state.seriesId;
    this.timeframe = state.timeframe;
    const newest = shown.slice(-UNIT_SAMPLE);
    this.sample = newest.flatMap(({ open, close }) => [open, close]);
    this.fitUnit();
    this.watch.forget();
    const last = shown.at(-1);
    if (fresh || last === undefined) this.ahead.clear();
    // While the axis is short: the library goes through all of it.
    if (last !== undefined) this.ahead.begin(last.candle_time, after(state.timeframe));
    this.rows.replace(shown);
    if (fresh) this.showNewest();
  }

  private update(candle: Candle, timeframe: Timeframe): void {
    this.ahead.reach(candle.candle_time);
    this.rows.update(candle);
    this.ahead.follow(candle.candle_time, after(timeframe));
  }

  private showNewest(): void {
    this.zoomToNormal();
    this.scrollToEnd();
  }

  private fitUnit(): void {
    const unit = priceUnit(this.step, this.sample);
    if (unit.tick === this.unit.tick && unit.decimals === this.unit.decimals) return;
    this.unit = unit;
    // Not of the long history, which the library would go through twice to draw it.
    for (const series of [this.axisSeries, this.prices]) {
      series.applyOptions({ priceFormat: priceFormatOf(unit) });
    }
  }

  /** Marks partial candles by their times (UTC seconds), instead of the former ones. */
  markPartial(times: readonly number[]): void {
    this.partialMarks.show(times, this.theme.text);
  }

  private markHoles(holes: readonly Hole[]): void {
    if (holes === this.shownHoles) return;
    this.shownHoles = holes;
    const times = holes.slice(-RECENT_HOLES).map(({ to }) => to);
    this.gapMarks.show(times, this.theme.gap);
  }
}

function after(timeframe: Timeframe): (time: number) => number {
  return (time) => closeTimeOf(timeframe, time);
}

function normalSpacing(): number {
  return NARROW.matches ? NARROW_BAR_SPACING : BAR_SPACING;
}

function kineticScroll(): { touch: boolean; mouse: boolean } {
  return { touch: !CALM.matches, mouse: false };
}

/** Labels of the axis and of the crosshair are written like every other price. */
function priceFormatOf(unit: PriceUnit): PriceFormat {
  const base = axisBase(unit);
  const formatter = (price: number): string => formatPrice(price, unit);
  return { type: "custom", formatter, minMove: 1 / base, base };
}
