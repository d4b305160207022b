/** The page around the chart: header, panels and status bar of the series that a cell shows. */

import { t } from "../i18n/words";
import { ChartCell, type CellDependencies } from "../chart/chart-cell";
import { isFresh } from "../chart/connection-text";
import { byId, setText } from "../dom";
import { formatPercent, formatPrice } from "../i18n/format";
import { FactorPanel } from "../panels/factor-panel";
import { HealthLamps, type HealthLampsDependencies } from "../panels/health-lamps";
import { SeriesPicker } from "../panels/series-picker";
import { SettingsDialog } from "../panels/settings-dialog";
import { readCatalog, type CatalogDependencies } from "../studies/catalog";
import { FactorStudy, type FactorDependencies, type Layer } from "../studies/factors";
import { FeatureSwitches } from "../studies/feature-switches";
import { volumeFeature, VolumeStudy } from "../studies/volume";
import { displaySymbol, parseSeriesId, seriesIdText, type SeriesId } from "../sync/series-id";
import { lastClosedTime, type SeriesState, type Step } from "../sync/series-state";
import { describeDrawings, type Held } from "../chart/test-surface";
import { nearestSeries } from "./series-choice";
import { ConnectionSign, StatusFacts } from "./status-bar";
import { TimeframeBar } from "./timeframe-bar";
import type { OlderStep } from "../drawings/older-drawings";
import type { OverlayStep } from "../drawings/overlay-session";
import type { FeedDependencies } from "../panels/top-markets-feed";

const TICK_MS = 1000;
const WIDE = window.matchMedia("(min-width: 1024px)");

export type PageDependencies = CellDependencies &
  FeedDependencies &
  FactorDependencies &
  CatalogDependencies &
  Omit<HealthLampsDependencies, "zone" | "headSeen">;

export interface PageEvents {
  /** The user chose another series. */
  chosen(seriesId: string): void;
  /** The series on the page has candles. */
  shown(seriesId: string): void;
}

export class Page {
  private readonly dependencies: PageDependencies;
  private readonly events: PageEvents;
  private readonly cell: ChartCell;
  private readonly lamps: HealthLamps;
  private readonly sign = new ConnectionSign(byId("connection"));
  private readonly facts = new StatusFacts(byId("status-facts"));
  private readonly timeframes: TimeframeBar;
  private readonly picker: SeriesPicker;
  private layer: Layer | null = null;
  private closedTime: number | null = null;
  private whitelist: readonly string[] = [];

  constructor(dependencies: PageDependencies, events: PageEvents) {
    this.dependencies = dependencies;
    this.events = events;
    const switches = new FeatureSwitches(dependencies.settings);
    const panel = new FactorPanel(byId("factors"), switches);
    const factors = new FactorStudy(dependencies, switches, {
      drawn: (step, older, layer) => {
        panel.count(layer.drawn());
        this.drawn(step, older, layer);
      },
    });
    this.cell = new ChartCell(
      byId("stage"),
      dependencies,
      [new VolumeStudy(switches), factors],
      {
        changed: (step) => this.changed(step),
        rewritten: () => this.lamps.disturbed(),
        repriced: () => this.renderQuote(),
        chosen: (seriesId) => events.chosen(seriesId),
        offers: (seriesId) => nearestSeries(seriesId, this.whitelist),
      },
    );
    switches.declare([volumeFeature()]);
    void readCatalog(dependencies, (catalog) => switches.declare(catalog));
    this.lamps = new HealthLamps(
      {
        ...dependencies,
        zone: () => this.cell.zone,
        headSeen: (time) => this.cell.headSeen(time),
      },
      { candles: byId("candle-lamp"), drawings: byId("drawing-lamp") },
    );
    this.timeframes = new TimeframeBar(byId("timeframes"), (text) => this.pickTimeframe(text));
    this.picker = new SeriesPicker(byId("picker"), dependencies, {
      picked: (seriesId) => this.picked(seriesId),
      closed: () => this.closePicker(),
      refreshed: () => this.renderQuote(),
    });
    new SettingsDialog(document.body, byId("settings-button"), dependencies.settings);
    this.bindControls();
    this.arrangePicker();
    this.cell.showNothing(t("Loading"), t("Reading the list of series…"));
    window.setInterval(() => this.renderTime(), TICK_MS);
  }

  get state(): SeriesState | null {
    return this.cell.state;
  }

  /** What is on the chart. */
  get held(): Held {
    return {
      times: () => this.cell.heldTimes(),
      lastPrice: () => this.cell.lastPrice,
      ids: () => this.layer?.drawn() ?? {},
      scene: () => this.layer?.held() ?? { markers: [], lines: [], zones: [] },
    };
  }

  setWhitelist(whitelist: readonly string[]): void {
    this.whitelist = whitelist;
    this.picker.setWhitelist(whitelist);
    if (this.cell.series !== null) this.timeframes.render(this.cell.series, whitelist);
  }

  /** Shows a message while there is no series. */
  showNothing(title: string, text: string): void {
    this.cell.showNothing(title, text);
  }

  /** Shows that a link names no series, and offers others. */
  showMalformed(text: string): void {
    const form = t("A series reads exchange:market:symbol:timeframe.");
    const detail = `${t('The link names "{text}".', { text })} ${form}`;
    this.cell.showNothing(t("There is no such series"), detail, nearestSeries(text, this.whitelist));
  }

  /** Leaves the current series and opens another one. */
  open(series: SeriesId): void {
    setText(byId("series-symbol"), displaySymbol(series.symbol));
    const badge = byId("series-market");
    badge.hidden = false;
    setText(badge, `${series.exchange} ${series.market}`);
    this.timeframes.render(series, this.whitelist);
    this.picker.setCurrent(series);
    this.lamps.open(series.text);
    this.cell.open(series);
  }

  /** Takes over changed colours of the style sheet. */
  restyle(): void {
    this.cell.restyle();
  }

  wake(): void {
    this.cell.wake();
  }

  /** Sets whether the page is visible. */
  attend(seen: boolean): void {
    this.lamps.attend(seen);
    if (seen) this.wake();
  }

  private changed({ state, change }: Step): void {
    const closed = lastClosedTime(state);
    if (closed !== this.closedTime) {
      this.lamps.candleClosed();
      if (closed !== null) this.events.shown(state.seriesId);
    }
    this.closedTime = closed;
    if (change.kind !== "none") this.renderQuote();
    this.renderFacts();
  }

  private drawn(step: OverlayStep, older: OlderStep, layer: Layer): void {
    this.layer = layer;
    this.lamps.show(step.status, older.status);
    describeDrawings(this.cell.surface, { step, older, scene: layer.scene });
  }

  private renderTime(): void {
    this.cell.renderTime();
    this.renderFacts();
  }

  private renderFacts(): void {
    const { state } = this;
    if (state === null) return;
    const now = this.dependencies.clock.now();
    this.sign.render(state, now);
    this.facts.render(state, now, this.cell.zone);
    const fresh = String(isFresh(state, now));
    if (byId("quote").dataset["fresh"] === fresh) return;
    byId("quote").dataset["fresh"] = fresh;
    this.renderQuote();
  }

  private renderQuote(): void {
    const { state } = this;
    const { series } = this.cell;
    const newest = state?.forming ?? state?.candles.at(-1);
    byId("quote").hidden = newest === undefined;
    if (newest === undefined || series === null) {
      document.title = "trade_canvas";
      return;
    }
    const price = formatPrice(newest.close, this.cell.priceUnit);
    setText(byId("quote-price"), price);
    byId("quote-price").dataset["direction"] = newest.close >= newest.open ? "up" : "down";
    const percent = this.picker.currentFigures()?.changePercent ?? null;
    const change = byId("quote-change");
    setText(change, percent === null ? "" : formatPercent(percent));
    change.dataset["direction"] = percent !== null && percent < 0 ? "down" : "up";
    const age = byId("quote").dataset["fresh"] === "true" ? "" : `${t("(old)")} `;
    document.title = `${age}${price} ${displaySymbol(series.symbol)} ${series.timeframe.text} · trade_canvas`;
  }

  private pickTimeframe(timeframe: string): void {
    const { series } = this.cell;
    if (series === null || series.timeframe.text === timeframe) return;
    const { exchange, market, symbol } = series;
    this.events.chosen(seriesIdText(exchange, market, { symbol, timeframe }));
  }

  private picked(seriesId: string): void {
    if (!WIDE.matches) this.showPicker(false);
    if (parseSeriesId(seriesId).text !== this.cell.series?.text) this.events.chosen(seriesId);
  }

  private bindControls(): void {
    const button = byId("series-button");
    button.addEventListener("click", () => this.togglePicker());
    byId("picker-backdrop").addEventListener("click", () => this.closePicker());
    WIDE.addEventListener("change", () => this.arrangePicker());
    document.addEventListener("keydown", (event) => this.shortcut(event));
  }

  /** Shows the markets as they were left, on a screen that has room for them. */
  private arrangePicker(): void {
    this.showPicker(WIDE.matches && this.dependencies.settings.value.layout.markets);
  }

  private togglePicker(): void {
    const { settings } = this.dependencies;
    const markets = !this.pickerShown;
    if (WIDE.matches) settings.update({ layout: { ...settings.value.layout, markets } });
    this.showPicker(markets);
  }

  private closePicker(): void {
    if (this.pickerShown) this.togglePicker();
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
