/** The chart: applies each `ChartChange`; where candles come from is not its concern. */

import {
  CandlestickSeries,
  ColorType,
  createChart,
  createSeriesMarkers,
  CrosshairMode,
  HistogramSeries,
  LineStyle,
  MismatchDirection,
  TickMarkType,
  type CandlestickData,
  type HistogramData,
  type IChartApi,
  type ISeriesApi,
  type ISeriesMarkersPluginApi,
  type Time,
  type UTCTimestamp,
} from "lightweight-charts";

import { formatClock, formatDateTime, pricePrecision } from "../i18n/format";
import { OverlayLayer } from "../drawings/overlay-layer";
import type { Candle } from "../sync/candle";
import type { ChartChange } from "../sync/chart-change";
import type { Hole } from "../sync/holes";
import type { SeriesState } from "../sync/series-state";

export const UP = "#22c55e";
export const DOWN = "#ef4444";
const GAP = "#f59e0b";
const BACKGROUND = "#0b0f14";
const TEXT = "#8b98a9";
const GRID = "rgba(148, 163, 184, 0.07)";
const BORDER = "rgba(148, 163, 184, 0.14)";

const RIGHT_OFFSET = 6;
const BAR_SPACING = 8;
const NARROW_BAR_SPACING = 6;
const PRECISION_SAMPLE = 300;
const EDGE_CANDLES = 40;
const REST_MS = 150;
const RECENT_HOLES = 500;

export interface ChartEvents {
  /** The user is close to the first candle. */
  nearStart(): void;
  /** Time under the crosshair, UTC seconds; null when it left the chart. */
  pointed(time: number | null): void;
  /** The view stopped moving; its first candle has this time, UTC seconds. */
  viewed(from: number): void;
  /** The newest candle came into view or left it. */
  atEnd(atEnd: boolean): void;
}

export class CandleChart {
  /** The drawings over the candles. */
  readonly overlays: OverlayLayer;
  private readonly chart: IChartApi;
  private readonly prices: ISeriesApi<"Candlestick">;
  private readonly volumes: ISeriesApi<"Histogram">;
  private readonly gapMarkers: ISeriesMarkersPluginApi<Time>;
  private readonly root: HTMLElement;
  private shownSeries = "";
  private shownHoles: readonly Hole[] = [];
  private precision = 2;
  private withSeconds = false;
  private restTimer = 0;

  constructor(root: HTMLElement, events: ChartEvents) {
    this.root = root;
    this.chart = createChart(root, this.options());
    this.prices = this.addPrices();
    this.volumes = this.addVolumes();
    this.overlays = new OverlayLayer(this.prices);
    this.gapMarkers = createSeriesMarkers(this.prices, []);
    this.chart.subscribeCrosshairMove((move) => {
      events.pointed(typeof move.time === "number" ? move.time : null);
    });
    this.chart.timeScale().subscribeVisibleLogicalRangeChange(() => this.watchRange(events));
    root.addEventListener("keydown", (event) => this.steer(event));
  }

  get pricePrecision(): number {
    return this.precision;
  }

  apply(state: SeriesState, change: ChartChange): void {
    if (change.kind === "replace") this.replace(state);
    else if (change.kind === "update") for (const candle of change.candles) this.update(candle);
    this.markHoles(state.holes);
  }

  /** Times of the candles on the chart, read back from the library. */
  heldTimes(): number[] {
    return this.prices.data().map((row) => row.time as number);
  }

  /** Scrolls without animation, which a live update would interrupt. */
  scrollToEnd(): void {
    this.chart.timeScale().scrollToPosition(RIGHT_OFFSET, false);
  }

  private options(): Parameters<typeof createChart>[1] {
    const styles = getComputedStyle(document.body);
    return {
      autoSize: true,
      layout: {
        background: { type: ColorType.Solid, color: BACKGROUND },
        textColor: TEXT,
        fontFamily: styles.fontFamily,
        fontSize: 11,
        attributionLogo: true,
      },
      grid: { vertLines: { color: GRID }, horzLines: { color: GRID } },
      crosshair: {
        mode: CrosshairMode.Normal,
        vertLine: { color: "#52606f", style: LineStyle.Dashed, labelBackgroundColor: "#273241" },
        horzLine: { color: "#52606f", style: LineStyle.Dashed, labelBackgroundColor: "#273241" },
      },
      rightPriceScale: { borderColor: BORDER, scaleMargins: { top: 0.12, bottom: 0.24 } },
      timeScale: {
        borderColor: BORDER,
        rightOffset: RIGHT_OFFSET,
        barSpacing: this.root.clientWidth < 640 ? NARROW_BAR_SPACING : BAR_SPACING,
        minBarSpacing: 0.5,
        timeVisible: true,
        secondsVisible: true,
        tickMarkFormatter: (time: Time, type: TickMarkType) => this.tickText(time as number, type),
      },
      localization: {
        timeFormatter: (time: Time) => formatDateTime(time as number, this.withSeconds),
      },
      kineticScroll: { touch: true, mouse: false },
    };
  }

  private addPrices(): ISeriesApi<"Candlestick"> {
    return this.chart.addSeries(CandlestickSeries, {
      upColor: UP,
      downColor: DOWN,
      borderUpColor: UP,
      borderDownColor: DOWN,
      wickUpColor: UP,
      wickDownColor: DOWN,
      priceLineStyle: LineStyle.Dotted,
    });
  }

  private addVolumes(): ISeriesApi<"Histogram"> {
    const volumes = this.chart.addSeries(HistogramSeries, {
      priceScaleId: "volume",
      priceFormat: { type: "volume" },
      lastValueVisible: false,
      priceLineVisible: false,
    });
    volumes.priceScale().applyOptions({ scaleMargins: { top: 0.82, bottom: 0 } });
    return volumes;
  }

  private replace(state: SeriesState): void {
    const shown = state.forming === null ? state.candles : [...state.candles, state.forming];
    const fresh = this.shownSeries !== state.seriesId || this.prices.data().length === 0;
    this.shownSeries = state.seriesId;
    this.withSeconds = state.timeframe.seconds < 60;
    this.fitPrecision(shown);
    this.prices.setData(shown.map(priceRow));
    this.volumes.setData(shown.map(volumeRow));
    if (fresh) this.showNewest();
  }

  private update(candle: Candle): void {
    this.prices.update(priceRow(candle));
    this.volumes.update(volumeRow(candle));
  }

  private showNewest(): void {
    const narrow = this.root.clientWidth < 640;
    this.prices.priceScale().applyOptions({ autoScale: true });
    const scale = this.chart.timeScale();
    scale.applyOptions({ barSpacing: narrow ? NARROW_BAR_SPACING : BAR_SPACING });
    this.scrollToEnd();
  }

  private fitPrecision(candles: readonly Candle[]): void {
    const sample = candles.slice(-PRECISION_SAMPLE).flatMap(({ open, close }) => [open, close]);
    this.precision = pricePrecision(sample);
    const minMove = 1 / 10 ** this.precision;
    this.prices.applyOptions({
      priceFormat: { type: "price", precision: this.precision, minMove },
    });
  }

  private markHoles(holes: readonly Hole[]): void {
    if (holes === this.shownHoles) return;
    this.shownHoles = holes;
    this.gapMarkers.setMarkers(
      holes.slice(-RECENT_HOLES).map((hole) => ({
        time: hole.to as UTCTimestamp,
        position: "belowBar",
        shape: "square",
        size: 0.5,
        color: GAP,
      })),
    );
  }

  private watchRange(events: ChartEvents): void {
    const scale = this.chart.timeScale();
    const range = scale.getVisibleLogicalRange();
    if (range === null) return;
    events.atEnd(scale.scrollPosition() > -3);
    window.clearTimeout(this.restTimer);
    this.restTimer = window.setTimeout(() => this.rested(events), REST_MS);
  }

  private rested(events: ChartEvents): void {
    const from = this.chart.timeScale().getVisibleLogicalRange()?.from ?? Infinity;
    const first = this.prices.dataByIndex(Math.floor(from), MismatchDirection.NearestRight);
    if (first !== null) events.viewed(first.time as number);
    if (from < EDGE_CANDLES) events.nearStart();
  }

  /** Arrows pan, + and - zoom, End goes to the newest candle. */
  private steer(event: KeyboardEvent): void {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const scale = this.chart.timeScale();
    const step = event.shiftKey ? 50 : 10;
    const spacing = scale.options().barSpacing;
    const moves: Record<string, () => void> = {
      ArrowLeft: () => scale.scrollToPosition(scale.scrollPosition() - step, false),
      ArrowRight: () => scale.scrollToPosition(scale.scrollPosition() + step, false),
      "+": () => scale.applyOptions({ barSpacing: Math.min(50, spacing * 1.2) }),
      "-": () => scale.applyOptions({ barSpacing: Math.max(0.5, spacing / 1.2) }),
      End: () => this.scrollToEnd(),
    };
    const move = moves[event.key];
    if (move === undefined) return;
    event.preventDefault();
    move();
  }

  /** The library places tick marks by UTC days; the labels show local time. */
  private tickText(time: number, type: TickMarkType): string {
    const date = new Date(time * 1000);
    switch (type) {
      case TickMarkType.Year:
        return String(date.getFullYear());
      case TickMarkType.Month:
        return date.toLocaleDateString("en-GB", { month: "short" });
      case TickMarkType.DayOfMonth:
        return date.toLocaleDateString("en-GB", { day: "numeric", month: "short" });
      default:
        return formatClock(time, type === TickMarkType.TimeWithSeconds);
    }
  }
}

function priceRow(candle: Candle): CandlestickData<UTCTimestamp> {
  const { open, high, low, close } = candle;
  return { time: candle.candle_time as UTCTimestamp, open, high, low, close };
}

function volumeRow(candle: Candle): HistogramData<UTCTimestamp> {
  const rising = candle.close >= candle.open;
  return {
    time: candle.candle_time as UTCTimestamp,
    value: candle.volume,
    color: rising ? "rgba(34, 197, 94, 0.28)" : "rgba(239, 68, 68, 0.28)",
  };
}
