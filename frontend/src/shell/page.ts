/** The page, which shows one series at a time: connects its session to the views. */

import { CandleChart } from "../chart/chart";
import { byId, setText } from "./dom";
import { formatPercent, formatPrice } from "../i18n/format";
import { HealthLamps, type HealthLampsDependencies } from "../panels/health-lamps";
import { Legend } from "../chart/legend";
import { Overlays, type OverlaysDependencies } from "../drawings/overlays";
import { displaySymbol, parseSeriesId, seriesIdText, type SeriesId } from "../sync/series-id";
import { SeriesPicker } from "../panels/series-picker";
import { lastClosedTime, type SeriesState, type Step } from "../sync/series-state";
import { Mask, Notices, Toast } from "../chart/stage-notices";
import { ConnectionSign, StatusFacts } from "./status-bar";
import { SyncSession, type SessionDependencies } from "../sync/sync-session";
import { describeChart, describeDrawings, type Held } from "./test-surface";
import { TimeframeBar } from "./timeframe-bar";
import type { VisibilityMemory } from "../studies/factor-visibility";
import type { OlderStep } from "../drawings/older-drawings";
import type { OverlayStep } from "../drawings/overlay-session";
import type { FeedDependencies } from "../panels/top-markets-feed";

const TICK_MS = 1000;
const WIDE = window.matchMedia("(min-width: 1024px)");

export type PageDependencies = SessionDependencies &
  FeedDependencies &
  HealthLampsDependencies &
  OverlaysDependencies & { readonly visibilityMemory: VisibilityMemory };

export interface PageEvents {
  /** The user chose another series. */
  chosen(seriesId: string): void;
}

export class Page {
  private readonly dependencies: PageDependencies;
  private readonly events: PageEvents;
  private readonly chartRoot = byId("chart");
  private readonly chart: CandleChart;
  private readonly legend = new Legend(byId("legend"));
  private readonly overlays: Overlays;
  private readonly lamps: HealthLamps;
  private readonly toast = new Toast(byId("toast"));
  private readonly mask: Mask;
  private readonly notices: Notices;
  private readonly sign = new ConnectionSign(byId("connection"));
  private readonly facts = new StatusFacts(byId("status-facts"));
  private readonly timeframes: TimeframeBar;
  private readonly picker: SeriesPicker;
  private session: SyncSession | null = null;
  private series: SeriesId | null = null;
  private closedTime: number | null = null;
  private whitelist: readonly string[] = [];

  constructor(dependencies: PageDependencies, events: PageEvents) {
    this.dependencies = dependencies;
    this.events = events;
    const retry = (): void => this.session?.retry();
    this.mask = new Mask(byId("mask"), retry);
    this.notices = new Notices(byId("notices"), retry);
    this.chart = new CandleChart(this.chartRoot, {
      viewed: (from) => this.overlays.viewed(from),
      nearStart: () => this.session?.loadOlder(),
      pointed: (time) => this.pointed(time),
      atEnd: (atEnd) => (byId("to-live").hidden = atEnd),
    });
    this.overlays = new Overlays(dependencies, {
      panel: byId("factors"),
      layer: this.chart.overlays,
      memory: dependencies.visibilityMemory,
      onStep: (step, older) => this.drawn(step, older),
    });
    this.lamps = new HealthLamps(dependencies, {
      candles: byId("candle-lamp"),
      drawings: byId("drawing-lamp"),
    });
    this.timeframes = new TimeframeBar(byId("timeframes"), (text) => this.pickTimeframe(text));
    this.picker = new SeriesPicker(byId("picker"), dependencies, {
      picked: (seriesId) => this.picked(seriesId),
      closed: () => this.showPicker(false),
      refreshed: () => this.renderQuote(),
    });
    this.bindControls();
    this.showPicker(WIDE.matches);
    this.mask.renderNothing("Loading", "Reading the list of series…");
    window.setInterval(() => this.renderTime(), TICK_MS);
  }

  get state(): SeriesState | null {
    return this.session?.state ?? null;
  }

  /** What is on the chart. */
  get held(): Held {
    return {
      times: () => this.chart.heldTimes(),
      ids: () => this.chart.overlays.drawn(),
      scene: () => this.chart.overlays.held(),
    };
  }

  setWhitelist(whitelist: readonly string[]): void {
    this.whitelist = whitelist;
    this.picker.setWhitelist(whitelist);
    if (this.series !== null) this.timeframes.render(this.series, whitelist);
  }

  /** Shows a message while there is no series. */
  showNothing(title: string, text: string): void {
    this.mask.renderNothing(title, text);
    this.chartRoot.dataset["status"] = "empty";
  }

  /** Leaves the current series and opens another one. */
  open(series: SeriesId): void {
    this.session?.stop();
    this.series = series;
    setText(byId("series-symbol"), displaySymbol(series.symbol));
    const badge = byId("series-market");
    badge.hidden = false;
    setText(badge, `${series.exchange} ${series.market}`);
    this.chartRoot.setAttribute("aria-label", `Candlestick chart of ${series.text}`);
    this.timeframes.render(series, this.whitelist);
    this.picker.setCurrent(series);
    this.session = new SyncSession(
      series.text,
      this.dependencies,
      (step) => this.follow(step),
      (reason) => this.rewritten(reason),
    );
    this.lamps.open(series.text);
    this.overlays.open(series);
    this.session.start();
  }

  wake(): void {
    this.session?.wake();
  }

  /** Sets whether the page is visible. */
  attend(seen: boolean): void {
    this.lamps.attend(seen);
    if (seen) this.wake();
  }

  private follow({ state, change }: Step): void {
    const closed = lastClosedTime(state);
    if (closed !== this.closedTime) this.lamps.candleClosed();
    this.closedTime = closed;
    this.chart.apply(state, change);
    if (change.kind !== "none") {
      this.legend.render(state, this.chart.pricePrecision);
      this.renderQuote();
    }
    this.renderTime();
    describeChart(this.chartRoot, state);
    this.overlays.follow(state);
  }

  private drawn(step: OverlayStep, older: OlderStep): void {
    this.lamps.show(step.status, older.status);
    describeDrawings(this.chartRoot, { step, older, scene: this.chart.overlays.scene });
  }

  private rewritten(reason: string | null): void {
    this.overlays.rewritten();
    this.lamps.disturbed();
    if (reason !== null) this.toast.show(reason);
  }

  /** Renders everything that depends on the clock as well as on the state. */
  private renderTime(): void {
    const { state } = this;
    if (state === null) return;
    const now = this.dependencies.clock.now();
    this.mask.render(state, now);
    this.notices.render(state, now);
    this.sign.render(state, now);
    this.facts.render(state, now);
  }

  private renderQuote(): void {
    const { state, series } = this;
    const newest = state?.forming ?? state?.candles.at(-1);
    byId("quote").hidden = newest === undefined;
    if (newest === undefined || series === null) {
      document.title = "trade_canvas";
      return;
    }
    const price = formatPrice(newest.close, this.chart.pricePrecision);
    setText(byId("quote-price"), price);
    byId("quote-price").dataset["direction"] = newest.close >= newest.open ? "up" : "down";
    const percent = this.picker.currentFigures()?.changePercent ?? null;
    const change = byId("quote-change");
    setText(change, percent === null ? "" : formatPercent(percent));
    change.dataset["direction"] = percent !== null && percent < 0 ? "down" : "up";
    document.title = `${price} ${displaySymbol(series.symbol)} ${series.timeframe.text} · trade_canvas`;
  }

  private pointed(time: number | null): void {
    this.legend.point(time);
    if (this.state !== null) this.legend.render(this.state, this.chart.pricePrecision);
  }

  private pickTimeframe(timeframe: string): void {
    const { series } = this;
    if (series === null || series.timeframe.text === timeframe) return;
    const { exchange, market, symbol } = series;
    this.events.chosen(seriesIdText(exchange, market, { symbol, timeframe }));
  }

  private picked(seriesId: string): void {
    if (!WIDE.matches) this.showPicker(false);
    if (parseSeriesId(seriesId).text !== this.series?.text) this.events.chosen(seriesId);
  }

  private bindControls(): void {
    const button = byId("series-button");
    button.addEventListener("click", () => this.showPicker(!this.pickerShown));
    byId("picker-backdrop").addEventListener("click", () => this.showPicker(false));
    byId("to-live").addEventListener("click", () => this.chart.scrollToEnd());
    WIDE.addEventListener("change", () => this.showPicker(WIDE.matches));
    document.addEventListener("keydown", (event) => this.shortcut(event));
  }

  private get pickerShown(): boolean {
    return document.body.classList.contains("picker-open");
  }

  private showPicker(shown: boolean): void {
    const hadFocus = byId("picker").contains(document.activeElement);
    document.body.classList.toggle("picker-open", shown);
    byId("picker").inert = !shown;
    this.picker.setShown(shown);
    byId("series-button").setAttribute("aria-expanded", String(shown));
    if (shown && !WIDE.matches)
      byId("picker").querySelector<HTMLElement>('[aria-pressed="true"]')?.focus();
    if (!shown && hadFocus) byId("series-button").focus();
  }

  /** `/` focuses the search, Escape closes the panel. */
  private shortcut(event: KeyboardEvent): void {
    const typing = event.target instanceof HTMLInputElement;
    if (event.key === "Escape" && this.pickerShown && !WIDE.matches) this.showPicker(false);
    if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    this.showPicker(true);
    this.picker.focusSearch();
  }
}
