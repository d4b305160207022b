/** Everything around the chart: markets, timeframes, factors, status and keys. */

import { connectionSign, isFresh } from "../chart/connection-text";
import { byId } from "../dom";
import { t } from "../i18n/words";
import { FactorPanel } from "../panels/factor-panel";
import { FactorSheet } from "../panels/factor-sheet";
import { keyboardMap } from "../panels/keyboard-map";
import { SeriesPicker, type PickerDependencies } from "../panels/series-picker";
import { settingsDialog } from "../panels/settings-dialog";
import { Sheet } from "../panels/sheet";
import { parseSeriesId, seriesIdText, type SeriesId } from "trade-canvas-client/series-id";
import { keyActions } from "./key-actions";
import { Keyboard } from "./keyboard";
import { once } from "../later";
import { PaintedTexts } from "../painted-text";
import { shortcutsOf } from "./shortcuts";
import { FactList, StatusPanel } from "./status-panel";
import { factsOf } from "./status";
import { TimeframeBar } from "./timeframe-bar";
import type { ChartCell } from "../chart/chart-cell";
import type { Lamps } from "../panels/health-lamps";
import type { FeatureSwitches } from "../studies/feature-switches";
import type { TopMarket } from "../sync/api";

const WIDE = window.matchMedia("(min-width: 1024px)");
/** As in narrow.css: no room for the rows of timeframes and factors. */
const NARROW = window.matchMedia("(max-width: 979px), (max-height: 499px)");

/** What the panels stand around. */
export interface Surrounded {
  readonly cell: ChartCell;
  readonly switches: FeatureSwitches;
  /** Ids of the drawings on the chart, by feature. */
  drawn(): Readonly<Record<string, readonly string[]>>;
}

export interface PanelEvents {
  /** The user chose another series. */
  chosen(seriesId: string): void;
  /** New figures of the markets arrived. */
  refreshed(): void;
}

/** Built once the first candles are drawn: it takes as long as the chart itself. */
export class Panels {
  private readonly dependencies: PickerDependencies;
  private readonly cell: ChartCell;
  private readonly events: PanelEvents;
  private readonly status: StatusPanel;
  private readonly painted = new PaintedTexts(byId("status-facts"));
  private readonly facts = new FactList(byId("status-facts"), this.painted);
  private readonly factorSheet: Sheet;
  private readonly timeframes: TimeframeBar;
  private readonly picker: SeriesPicker;
  private readonly count: () => void;
  private isCounted = true;
  private whitelist: readonly string[] = [];

  constructor(
    { cell, switches, drawn }: Surrounded,
    dependencies: PickerDependencies,
    events: PanelEvents,
  ) {
    this.dependencies = dependencies;
    this.cell = cell;
    this.events = events;
    const row = new FactorPanel(byId("factors"), switches);
    const list = new FactorSheet(switches);
    this.factorSheet = factorSheet(list);
    this.count = () => {
      for (const panel of [row, list]) panel.count(drawn());
    };
    this.status = new StatusPanel(
      {
        button: byId("status-button"),
        word: byId("status-word"),
        panel: byId("status-panel"),
        spoken: byId("status-spoken"),
      },
      [...byId("attribution").childNodes].map((node) => node.cloneNode(true)),
    );
    this.timeframes = new TimeframeBar(
      { row: byId("timeframes"), list: byId("timeframe-select") as HTMLSelectElement },
      (text) => this.pickTimeframe(text),
    );
    this.picker = new SeriesPicker(byId("picker"), dependencies, {
      picked: (seriesId) => this.picked(seriesId),
      closed: () => this.closePicker(),
      left: () => (WIDE.matches ? cell.surface.focus() : this.closePicker()),
      refreshed: () => events.refreshed(),
    });
    this.bindControls(switches);
    this.arrangePicker();
    this.status.showConnection({
      tone: "busy",
      label: t("Loading"),
      explanation: t("Reading the list of series…"),
    });
  }

  /** `derived` are the timeframes that the server has of every symbol. */
  setWhitelist(whitelist: readonly string[], derived: readonly string[]): void {
    this.whitelist = whitelist;
    this.timeframes.setDerived(derived);
    this.picker.setWhitelist(whitelist);
    if (this.cell.series !== null) this.timeframes.render(this.cell.series, whitelist);
  }

  /** Shows which series is on the chart. */
  open(series: SeriesId): void {
    this.timeframes.render(series, this.whitelist);
    this.picker.setCurrent(series);
  }

  /** Takes over what changed of the style sheet, the theme or the screen. */
  restyle(): void {
    this.painted.restyle();
  }

  showLamps(lamps: Lamps): void {
    this.status.showLamps(lamps);
  }

  /** The drawings on the chart may be others: they are counted with the next tick. */
  drawn(): void {
    this.isCounted = false;
  }

  /** Counts the drawings, which takes a while; called each second. */
  tick(): void {
    if (!this.isCounted) this.count();
    this.isCounted = true;
  }

  /** The page changes: what waited for that is shown in the same frame. */
  share(): void {
    this.picker.figures.share();
  }

  /** Renders what depends on the clock as well as on the state. */
  renderTime(): void {
    const { state, zone } = this.cell;
    if (state === null) return;
    const now = this.dependencies.clock.now();
    const facts = factsOf(state, now, zone);
    this.status.showConnection(connectionSign(state, now));
    this.status.showFacts(facts);
    this.facts.render(facts);
    this.picker.setReached(state.status !== "reconnecting");
    const newest = state.forming ?? state.candles.at(-1);
    this.picker.showLivePrice(isFresh(state, now) ? (newest?.close ?? null) : null);
  }

  /** Figures of the series over the last 24 hours, where they are known. */
  currentFigures(): TopMarket | null {
    return this.picker.currentFigures();
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

  private bindControls(switches: FeatureSwitches): void {
    const { settings } = this.dependencies;
    // Built when they are opened: the names of all time zones alone are 400 elements.
    const dialog = once(() => settingsDialog(document.body, settings));
    const map = once(() => keyboardMap(document.body, shortcuts));
    const shortcuts = shortcutsOf({
      ...keyActions(this.cell.view, switches, settings),
      timeframe: (place) => this.timeframes.pick(place),
      stepTimeframe: (by) => this.timeframes.step(by),
      search: () => {
        this.showPicker(true);
        this.picker.focusSearch();
      },
      toggleMarkets: () => this.togglePicker(),
      stepCandle: (by) => this.cell.steps.candle(by),
      stepDrawing: (by) => this.cell.steps.drawing(by),
      factors: () => {
        if (NARROW.matches) this.factorSheet.toggle();
        else byId("factors").querySelector("button")?.focus();
      },
      settings: () => dialog().toggle(),
      toggleStatus: () => this.status.toggle(),
      map: () => map().toggle(),
      close: () => {
        if (!this.cell.steps.leave() && !WIDE.matches) this.closePicker();
      },
    });
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

  /** Shows the markets as they were left, on a screen that has room for them. */
  private arrangePicker(): void {
    this.showPicker(standsBeside(this.dependencies.settings.value.layout.markets));
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
    makeRoom(shown);
    byId("picker").inert = !shown;
    this.picker.setShown(shown);
    byId("series-button").setAttribute("aria-expanded", String(shown));
    if (shown && !WIDE.matches)
      byId("picker").querySelector<HTMLElement>('.tab[aria-pressed="true"], .picker-close')?.focus();
    if (!shown && hadFocus) byId("series-button").focus();
  }
}

/** Whether the markets stand beside the chart, if the user wants them there. */
export function standsBeside(wanted: boolean): boolean {
  return wanted && WIDE.matches;
}

/** Leaves the place of the markets to them, or to the chart. */
export function makeRoom(shown: boolean): void {
  document.body.classList.toggle("picker-open", shown);
}

function factorSheet(list: FactorSheet): Sheet {
  const look = { name: "factor-sheet", title: "Factors", closeLabel: "Close factors" } as const;
  return new Sheet(document.body, look, [list.root]);
}
