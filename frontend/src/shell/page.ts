/** The page around the chart: header, panels, keys and status of the series that a cell shows. */

import { t } from "../i18n/words";
import { ChartCell, type CellDependencies } from "../chart/chart-cell";
import { connectionSign, isFresh } from "../chart/connection-text";
import { byId, setData, setHidden, setText } from "../dom";
import { formatPercent, formatPrice } from "../i18n/format";
import { FactorPanel } from "../panels/factor-panel";
import { FactorSheet } from "../panels/factor-sheet";
import { HealthLamps, type HealthLampsDependencies } from "../panels/health-lamps";
import { SeriesPicker, type PickerDependencies } from "../panels/series-picker";
import { keyboardMap } from "../panels/keyboard-map";
import { settingsDialog } from "../panels/settings-dialog";
import { Sheet } from "../panels/sheet";
import { readCatalog, type CatalogDependencies } from "../studies/catalog";
import { NOTHING_HELD } from "../drawings/overlay-layer";
import { FactorStudy, type FactorDependencies, type Layer } from "../studies/factors";
import { isOn } from "../studies/factor-visibility";
import { FeatureSwitches } from "../studies/feature-switches";
import { volumeFeature, VolumeStudy } from "../studies/volume";
import { displaySymbol, parseSeriesId, seriesIdText, type SeriesId } from "../sync/series-id";
import { lastClosedTime, type SeriesState, type Step } from "../sync/series-state";
import { describeDrawings, type Held } from "../chart/test-surface";
import { SeriesOffers } from "./series-offers";
import { Keyboard } from "./keyboard";
import { shortcutsOf, type KeyActions } from "./shortcuts";
import { factsOf } from "./status";
import { FactList, StatusPanel } from "./status-panel";
import { afterPaint, atMostEvery, once } from "./later";
import { TabTitle } from "./tab-title";
import { TimeframeBar } from "./timeframe-bar";
import type { SettingsStore } from "../settings/settings";
import type { OlderStep } from "../drawings/older-drawings";
import type { OverlayStep } from "../drawings/overlay-session";

const TICK_MS = 1000;
const FIRST_CANDLES_MS = 1000;
const COUNT_MS = 1000;
const WIDE = window.matchMedia("(min-width: 1024px)");
/** As in narrow.css: no room for the rows of timeframes and factors. */
const NARROW = window.matchMedia("(max-width: 979px), (max-height: 499px)");
/** The chart on a printed page, pixels; it fits on A4 and on Letter, see print.css. */
const PRINTED = { width: 960, height: 600 };

export type PageDependencies = CellDependencies &
  PickerDependencies &
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
  private readonly switches: FeatureSwitches;
  private readonly status: StatusPanel;
  private readonly facts = new FactList(byId("status-facts"));
  private readonly factorSheet: Sheet;
  private readonly timeframes: TimeframeBar;
  private readonly picker: SeriesPicker;
  private readonly offers: SeriesOffers;
  /** The link that names no series; null where there is one. */
  private malformed: string | null = null;
  private layer: Layer | null = null;
  private closedTime: number | null = null;
  private described: Pick<SeriesState, "candles" | "status"> | null = null;
  /** Candles have been drawn, or did not come in time. */
  private hasDrawn = false;
  private readonly title = new TabTitle();
  private whitelist: readonly string[] = [];

  constructor(dependencies: PageDependencies, events: PageEvents) {
    this.dependencies = dependencies;
    this.offers = new SeriesOffers(dependencies.api, () => this.offersFound());
    this.events = events;
    const { settings } = dependencies;
    const switches = new FeatureSwitches(settings);
    this.switches = switches;
    const panel = new FactorPanel(byId("factors"), switches);
    const list = new FactorSheet(switches);
    this.factorSheet = factorSheet(list);
    // Looked at rarely, and goes through all drawings.
    const countSoon = atMostEvery(COUNT_MS, () => {
      const drawn = this.layer?.drawn() ?? {};
      panel.count(drawn);
      list.count(drawn);
    });
    const factors = new FactorStudy(dependencies, switches, {
      drawn: (step, older, layer) => {
        this.drawn(step, older, layer);
        countSoon();
      },
    });
    this.cell = new ChartCell(
      byId("stage"),
      dependencies,
      [new VolumeStudy(switches), factors],
      {
        changed: (step) => this.changed(step),
        rewritten: () => this.lamps.disturbed(),
        pushed: (message) => message.type === "health" && this.lamps.pushed(message),
        connected: (isConnected) => this.lamps.connected(isConnected),
        repriced: () => this.renderQuote(),
        chosen: (seriesId) => events.chosen(seriesId),
        offers: (seriesId) => this.offers.of(seriesId, this.whitelist),
      },
    );
    switches.declare([volumeFeature()]);
    void readCatalog(dependencies, (catalog) => switches.declare(catalog));
    this.status = new StatusPanel(
      {
        button: byId("status-button"),
        word: byId("status-word"),
        panel: byId("status-panel"),
        spoken: byId("status-spoken"),
      },
      [...byId("attribution").childNodes].map((node) => node.cloneNode(true)),
    );
    this.lamps = new HealthLamps(
      {
        ...dependencies,
        zone: () => this.cell.zone,
        headSeen: (time) => this.cell.headSeen(time),
      },
      (lamps) => this.status.showLamps(lamps),
    );
    this.timeframes = new TimeframeBar(
      { row: byId("timeframes"), list: byId("timeframe-select") as HTMLSelectElement },
      (text) => this.pickTimeframe(text),
    );
    this.picker = new SeriesPicker(byId("picker"), dependencies, {
      picked: (seriesId) => this.picked(seriesId),
      closed: () => this.closePicker(),
      left: () => (WIDE.matches ? this.cell.surface.focus() : this.closePicker()),
      refreshed: () => this.renderQuote(),
    });
    this.bindControls(settings);
    this.arrangePicker();
    this.cell.showNothing(t("Loading"), t("Reading the list of series…"));
    this.status.showConnection({
      tone: "busy",
      label: t("Loading"),
      explanation: t("Reading the list of series…"),
    });
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
      scene: () => this.layer?.held() ?? NOTHING_HELD,
    };
  }

  /** `derived` are the timeframes that the server has of every symbol. */
  setWhitelist(whitelist: readonly string[], derived: readonly string[]): void {
    this.whitelist = whitelist;
    this.timeframes.setDerived(derived);
    this.picker.setWhitelist(whitelist);
    if (this.cell.series !== null) this.timeframes.render(this.cell.series, whitelist);
  }

  /** Shows a message while there is no series. */
  showNothing(title: string, text: string): void {
    this.cell.showNothing(title, text);
  }

  /** Shows that a link names no series, and offers others. */
  showMalformed(text: string): void {
    this.malformed = text;
    const form = t("A series reads exchange:market:symbol:timeframe.");
    const detail = `${t('The link names "{text}".', { text })} ${form}`;
    const offers = this.offers.of(text, this.whitelist);
    this.cell.showNothing(t("There is no such series"), detail, offers);
  }

  /** Leaves the current series and opens another one. */
  open(series: SeriesId): void {
    this.malformed = null;
    setText(byId("series-symbol"), displaySymbol(series.symbol));
    const badge = byId("series-market");
    badge.hidden = false;
    setText(badge, `${series.exchange} ${series.market}`);
    this.timeframes.render(series, this.whitelist);
    this.lamps.open(series.text);
    this.cell.open(series);
    if (this.hasDrawn) this.picker.setCurrent(series);
    else window.setTimeout(() => this.firstDrawn(), FIRST_CANDLES_MS);
  }

  /** Takes over changed colours of the style sheet. */
  restyle(): void {
    this.cell.restyle();
  }

  /** Draws for paper, or for the screen again. */
  setPrinting(printing: boolean): void {
    this.cell.setSize(printing ? PRINTED : null);
  }

  wake(): void {
    this.cell.wake();
  }

  /** Sets whether the page is visible. */
  attend(seen: boolean): void {
    this.lamps.attend(seen);
    if (seen) this.wake();
  }

  private offersFound(): void {
    if (this.malformed === null) this.cell.renderTime();
    else this.showMalformed(this.malformed);
  }

  /** The list of markets takes longer to build than the chart, which therefore comes first. */
  private firstDrawn(): void {
    if (this.hasDrawn) return;
    this.hasDrawn = true;
    if (this.cell.series !== null) this.picker.setCurrent(this.cell.series);
  }

  private changed({ state, change }: Step): void {
    if (!this.hasDrawn && state.loaded) afterPaint(() => this.firstDrawn());
    const closed = lastClosedTime(state);
    if (closed !== this.closedTime) {
      this.lamps.candleClosed(closed);
      if (closed !== null) this.events.shown(state.seriesId);
    }
    this.closedTime = closed;
    if (change.kind !== "none") this.renderQuote();
    // A new price alone changes no other figure than the price.
    const { candles, status } = state;
    if (candles !== this.described?.candles || status !== this.described.status) this.renderFacts();
    this.described = { candles, status };
  }

  private drawn(step: OverlayStep, older: OlderStep, layer: Layer): void {
    this.layer = layer;
    this.lamps.show(step.status, older.status);
    describeDrawings(this.cell.surface, { step, older, scene: layer.scene });
  }

  private renderTime(): void {
    this.cell.renderTime();
    this.renderFacts();
    this.title.tick();
  }

  private renderFacts(): void {
    const { state } = this;
    if (state === null) return;
    const now = this.dependencies.clock.now();
    const facts = factsOf(state, now, this.cell.zone);
    this.status.showConnection(connectionSign(state, now));
    this.status.showFacts(facts);
    this.facts.render(facts);
    const fresh = String(isFresh(state, now));
    if (byId("quote").dataset["fresh"] === fresh) return;
    byId("quote").dataset["fresh"] = fresh;
    this.renderQuote();
  }

  private renderQuote(): void {
    const { state } = this;
    const { series } = this.cell;
    const newest = state?.forming ?? state?.candles.at(-1);
    setHidden(byId("quote"), newest === undefined);
    if (newest === undefined || series === null) {
      this.title.show("trade_canvas", "");
      return;
    }
    const price = formatPrice(newest.close, this.cell.priceUnit);
    setText(byId("quote-price"), price);
    const percent = this.picker.currentFigures()?.changePercent ?? null;
    const change = byId("quote-change");
    setText(change, percent === null ? "" : formatPercent(percent));
    setData(change, "direction", !percent ? "none" : percent < 0 ? "down" : "up");
    const age = byId("quote").dataset["fresh"] === "true" ? "" : `${t("(old)")} `;
    const name = `${displaySymbol(series.symbol)} ${series.timeframe.text} · trade_canvas`;
    this.title.show(`${age}${price} ${name}`, `${age}${name}`);
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

  private bindControls(settings: SettingsStore): void {
    // Built when they are opened: the names of all time zones alone are 400 elements.
    const dialog = once(() => settingsDialog(document.body, settings));
    const map = once(() => keyboardMap(document.body, shortcuts));
    const shortcuts = shortcutsOf(this.keyActions(() => dialog().toggle(), () => map().toggle()));
    const keyboard = new Keyboard(shortcuts);
    document.addEventListener("keydown", (event) => keyboard.handle(event));
    byId("settings-button").addEventListener("click", () => dialog().toggle());
    byId("keys-button").addEventListener("click", () => map().toggle());
    byId("factors-button").addEventListener("click", () => this.factorSheet.toggle());
    byId("series-button").addEventListener("click", () => this.togglePicker());
    byId("picker-backdrop").addEventListener("click", () => this.closePicker());
    WIDE.addEventListener("change", () => this.arrangePicker());
    NARROW.addEventListener("change", () => this.factorSheet.close());
  }

  private keyActions(openSettings: () => void, openMap: () => void): KeyActions {
    const { settings } = this.dependencies;
    const toggle = (key: string | undefined): void => {
      if (key === undefined) return;
      this.switches.choose({ key, on: !isOn(this.switches.visibility(), key) });
    };
    return {
      pan: (candles) => this.cell.view.pan(candles),
      zoom: (factor) => this.cell.view.zoom(factor),
      zoomToNormal: () => this.cell.view.zoomToNormal(),
      toNewest: () => this.cell.view.scrollToEnd(),
      toOldest: () => this.cell.view.scrollToStart(),
      timeframe: (place) => this.timeframes.pick(place),
      stepTimeframe: (by) => this.timeframes.step(by),
      search: () => {
        this.showPicker(true);
        this.picker.focusSearch();
      },
      toggleMarkets: () => this.togglePicker(),
      factors: () => {
        if (NARROW.matches) this.factorSheet.toggle();
        else byId("factors").querySelector("button")?.focus();
      },
      toggleFactor: (place) => toggle(this.switches.features[place]?.key),
      toggleVolume: () => toggle(volumeFeature().key),
      toggleTheme: () => {
        const isLight = document.documentElement.dataset["theme"] === "light";
        settings.update({ theme: isLight ? "dark" : "light" });
      },
      settings: openSettings,
      toggleStatus: () => this.status.toggle(),
      map: openMap,
      close: () => {
        if (!WIDE.matches) this.closePicker();
      },
    };
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
      byId("picker").querySelector<HTMLElement>('.tab[aria-pressed="true"], .picker-close')?.focus();
    if (!shown && hadFocus) byId("series-button").focus();
  }
}

function factorSheet(list: FactorSheet): Sheet {
  const look = { name: "factor-sheet", title: "Factors", closeLabel: "Close factors" } as const;
  return new Sheet(document.body, look, [list.root]);
}
