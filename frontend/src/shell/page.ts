/** The page: the chart of a series, the price in the header, and the panels around them. */

import { placeName, t } from "../i18n/words";
import { ChartCell, type CellDependencies } from "../chart/chart-cell";
import { isFresh } from "../chart/connection-text";
import { byId, setData, setHidden, setText } from "../dom";
import { formatPercent, formatPrice } from "../i18n/format";
import { HealthLamps, type HealthLampsDependencies } from "../panels/health-lamps";
import { PaintedTexts, PRICE_SLACK_PX } from "../painted-text";
import { readCatalog, type CatalogDependencies } from "../studies/catalog";
import { NOTHING_HELD } from "../drawings/overlay-layer";
import { FactorStudy, type FactorDependencies, type Layer } from "../studies/factors";
import { FeatureSwitches } from "../studies/feature-switches";
import { volumeFeature, VolumeStudy } from "../studies/volume";
import { displaySymbol, type SeriesId } from "trade-canvas-client/series-id";
import { lastClosedTime, type SeriesState, type Step } from "trade-canvas-client/series-state";
import { describeDrawings, type Held } from "../chart/test-surface";
import { afterPaint, SHARED_MS, SharedWork } from "../later";
import { makeRoom, Panels, standsBeside } from "./panels";
import { SeriesOffers } from "./series-offers";
import { TabTitle } from "./tab-title";
import type { PickerDependencies } from "../panels/series-picker";
import type { OlderStep } from "../drawings/older-drawings";
import type { OverlayStep } from "../drawings/overlay-session";

const TICK_MS = 1000;
const FIRST_CANDLES_MS = 1000;
/** What users do to a panel that is not there yet. */
const TOUCHES = ["pointerdown", "keydown", "focusin", "click"] as const;
/** The chart on a printed page, pixels; it fits on A4 and on Letter, see print.css. */
const PRINTED = { width: 960, height: 600 };

export type PageDependencies = CellDependencies &
  PickerDependencies &
  FactorDependencies &
  CatalogDependencies &
  Omit<HealthLampsDependencies, "zone" | "headSeen" | "halted">;

export interface PageEvents {
  /** The user chose another series. */
  chosen(seriesId: string): void;
  /** The series on the page has candles. */
  shown(seriesId: string): void;
  /** The first candles are drawn, or have not come for a while. */
  settled(): void;
}

export class Page {
  private readonly dependencies: PageDependencies;
  private readonly events: PageEvents;
  private readonly cell: ChartCell;
  private readonly lamps: HealthLamps;
  private readonly switches: FeatureSwitches;
  private readonly offers: SeriesOffers;
  private panels: Panels | null = null;
  /** The link that names no series; null where there is one. */
  private malformed: string | null = null;
  private layer: Layer | null = null;
  /** The lamps may have changed since the panels showed them. */
  private areLampsNew = true;
  private closedTime: number | null = null;
  private sign = "";
  private readonly painted = new PaintedTexts(byId("quote-price"));
  private readonly price = this.painted.add(byId("quote-price"), PRICE_SLACK_PX);
  private readonly title = new TabTitle();
  private readonly tick = new SharedWork(SHARED_MS, () => this.renderTime());
  private whitelist: readonly string[] = [];
  private derived: readonly string[] = [];

  constructor(dependencies: PageDependencies, events: PageEvents) {
    this.dependencies = dependencies;
    this.offers = new SeriesOffers(dependencies.api, () => this.offersFound());
    this.events = events;
    this.switches = new FeatureSwitches(dependencies.settings);
    // The chart has its place and its size before the panels are there.
    makeRoom(standsBeside(dependencies.settings.value.layout.markets));
    const factors = new FactorStudy(dependencies, this.switches, {
      drawn: (step, older, layer) => this.drawn(step, older, layer),
    });
    this.cell = new ChartCell(
      byId("stage"),
      dependencies,
      [new VolumeStudy(this.switches), factors],
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
    this.switches.declare([volumeFeature()]);
    this.lamps = new HealthLamps(
      {
        ...dependencies,
        zone: () => this.cell.zone,
        headSeen: (time) => this.cell.headSeen(time),
        halted: (isHalted) => this.cell.halted(isHalted),
      },
      () => (this.areLampsNew = true),
    );
    this.cell.showNothing(t("Loading"), t("Reading the list of series…"));
    for (const type of TOUCHES) {
      document.addEventListener(type, this.settle, { capture: true, once: true });
    }
    window.addEventListener("resize", () => this.restylePainted());
    window.setInterval(() => this.tick.want(), TICK_MS);
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
    this.derived = derived;
    this.panels?.setWhitelist(whitelist, derived);
  }

  /** Shows a message while there is no series. */
  showNothing(title: string, text: string): void {
    this.cell.showNothing(title, text);
    this.settle();
  }

  /** Shows that a link names no series, and offers others. */
  showMalformed(text: string): void {
    this.malformed = text;
    const form = t("A series reads exchange:market:symbol:timeframe.");
    const detail = `${t('The link names "{text}".', { text })} ${form}`;
    const offers = this.offers.of(text, this.whitelist);
    this.cell.showNothing(t("There is no such series"), detail, offers);
    this.settle();
  }

  /** Leaves the current series and opens another one. */
  open(series: SeriesId): void {
    this.malformed = null;
    setText(byId("series-symbol"), displaySymbol(series.symbol));
    const badge = byId("series-market");
    badge.hidden = false;
    setText(badge, placeName(series));
    this.lamps.open(series.text);
    this.cell.open(series);
    if (this.panels === null) window.setTimeout(this.settle, FIRST_CANDLES_MS);
    else this.panels.open(series);
  }

  /** Takes over changed colours of the style sheet. */
  restyle(): void {
    this.cell.restyle();
    this.restylePainted();
  }

  private restylePainted(): void {
    this.painted.restyle();
    this.panels?.restyle();
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

  /** Builds the panels, once. */
  private readonly settle = (): void => {
    if (this.panels !== null) return;
    const { cell, switches, dependencies } = this;
    void readCatalog(dependencies, switches);
    const drawn = (): Record<string, string[]> => this.layer?.drawn() ?? {};
    const panels = new Panels({ cell, switches, drawn }, dependencies, {
      chosen: (seriesId) => this.events.chosen(seriesId),
      refreshed: () => this.renderQuote(),
    });
    this.panels = panels;
    panels.setWhitelist(this.whitelist, this.derived);
    if (cell.series !== null) panels.open(cell.series);
    this.renderLamps();
    panels.renderTime();
    panels.drawn();
    this.renderQuote();
    this.events.settled();
  };

  private changed({ state, change }: Step): void {
    if (this.panels === null && state.loaded) afterPaint(this.settle);
    const closed = lastClosedTime(state);
    if (closed !== this.closedTime) {
      this.lamps.candleClosed(closed);
      if (closed !== null) this.events.shown(state.seriesId);
    }
    this.closedTime = closed;
    if (change.kind !== "none") this.renderQuote();
    // The other figures follow with the next tick, so that a candle changes no text of the page.
    const sign = `${state.status} ${isFresh(state, this.dependencies.clock.now())}`;
    if (sign !== this.sign) this.renderFacts();
    this.sign = sign;
    if (change.kind === "none") return;
    this.tick.share();
    this.panels?.share();
  }

  private drawn(step: OverlayStep, older: OlderStep, layer: Layer): void {
    this.layer = layer;
    this.lamps.show(step.status, older.status);
    describeDrawings(this.cell.surface, { step, older, scene: layer.scene });
    this.panels?.drawn();
  }

  private renderTime(): void {
    this.cell.renderTime();
    this.renderFacts();
    this.panels?.tick();
    this.title.tick();
  }

  private renderFacts(): void {
    const { state } = this;
    if (state === null) return;
    this.panels?.renderTime();
    this.renderLamps();
    const fresh = String(isFresh(state, this.dependencies.clock.now()));
    if (byId("quote").dataset["fresh"] === fresh) return;
    byId("quote").dataset["fresh"] = fresh;
    this.renderQuote();
  }

  /** With the next tick, or what else changes the status: each closed candle changes a lamp. */
  private renderLamps(): void {
    if (this.panels === null || !this.areLampsNew) return;
    this.areLampsNew = false;
    this.panels.showLamps(this.lamps.lamps);
  }

  /** Once the panels are there: a text needs the styles of the page, and candles come first. */
  private renderQuote(): void {
    if (this.panels === null) return;
    const { state } = this;
    const { series } = this.cell;
    const newest = state?.forming ?? state?.candles.at(-1);
    setHidden(byId("quote"), newest === undefined);
    if (newest === undefined || series === null) {
      this.title.show("trade_canvas", "");
      return;
    }
    const price = formatPrice(newest.close, this.cell.priceUnit);
    this.price.show(price, byId("quote").dataset["fresh"] === "false" ? "--faint" : "");
    const percent = this.panels.currentFigures()?.changePercent ?? null;
    const change = byId("quote-change");
    setText(change, percent === null ? "" : formatPercent(percent));
    setData(change, "direction", !percent ? "none" : percent < 0 ? "down" : "up");
    const age = byId("quote").dataset["fresh"] === "true" ? "" : `${t("(old)")} `;
    const name = `${displaySymbol(series.symbol)} ${series.timeframe.text} · trade_canvas`;
    this.title.show(`${age}${price} ${name}`, `${age}${name}`);
  }
}
