/** The market panel: the search over all exchanges, and without one markets, favourites and lists. */

import { t } from "../i18n/words";
import { element, setText } from "../dom";
import { SHARED_MS, SharedWork } from "../later";
import { ListBar } from "./list-bar";
import { MarketGrid, type GridEvents } from "./market-grid";
import {
  followedOf,
  foundRows,
  knownRows,
  listedRows,
  marketRows,
  MARKETS,
  seriesOfRow,
  timeframesOf,
  type Followed,
  type KnownMarkets,
  type MarketRow,
} from "./market-list";
import { problemText, venuesText } from "./market-notes";
import { searchField } from "./market-search-field";
import { SymbolSearch } from "./symbol-search";
import { toggled, withToggled } from "../settings/symbol-lists";
import { displaySymbol, instrumentOf, tryParseSeriesId, type SeriesId } from "trade-canvas-client/series-id";
import { TopMarketsFeed, type FeedDependencies } from "./top-markets-feed";
import type { SettingsStore } from "../settings/settings";
import type { PriceSteps } from "../sync/price-steps";
import type { TopMarket } from "../sync/api";
import type { SymbolReader } from "../sync/symbols";

export type PickerDependencies = FeedDependencies & {
  readonly api: FeedDependencies["api"] & SymbolReader;
  readonly priceSteps: PriceSteps;
  readonly settings: SettingsStore;
};

export interface PickerEvents {
  picked(seriesId: string): void;
  closed(): void;
  /** Escape was pressed in an empty search. */
  left(): void;
  /** New figures arrived. */
  refreshed(): void;
}

export class SeriesPicker {
  private readonly events: PickerEvents;
  private readonly feed: TopMarketsFeed;
  private readonly priceSteps: PriceSteps;
  private readonly settings: SettingsStore;
  private readonly found: SymbolSearch;
  private readonly search: HTMLInputElement;
  private readonly tabs: readonly HTMLButtonElement[];
  private readonly lists: ListBar;
  private readonly grid: MarketGrid;
  private readonly more: HTMLButtonElement;
  private readonly note = element("p", {
    class: "market-note",
    attributes: { role: "status" },
  });
  private followed: Followed = new Map();
  private firstExchange = "";
  private current: SeriesId | null = null;
  /** The market of the ranking. */
  private market: string = MARKETS[0];
  /** The market that is searched; null for both. */
  private searched: string | null = null;
  private topMarkets: readonly TopMarket[] = [];
  /** Shows newer figures, which come every few seconds, with the next candle. */
  readonly figures = new SharedWork(SHARED_MS, () => this.showFigures());
  private problem: string | null = null;
  /** The venue's markets have been requested. */
  private asked = false;
  private shown = false;
  private livePrice: number | null = null;
  private reached = true;
  /** What the first row was made the active one for. */
  private answered = "";
  /** Enter was pressed before the search had an answer. */
  private opensFirst = false;

  constructor(root: HTMLElement, dependencies: PickerDependencies, events: PickerEvents) {
    this.events = events;
    this.priceSteps = dependencies.priceSteps;
    this.settings = dependencies.settings;
    this.feed = new TopMarketsFeed(dependencies, {
      arrived: (markets) => this.arrived(markets),
      failed: (status) => this.failed(status),
    });
    this.found = new SymbolSearch(dependencies, () => this.searchChanged());
    document.addEventListener("visibilitychange", () => this.attend());
    const gridEvents: GridEvents = {
      picked: (seriesId) => events.picked(seriesId),
      starred: (row) => this.star(row),
      listed: (row, id) => this.addTo(row, id),
      listWanted: (row) => this.lists.begin([instrumentOf(row)]),
      activated: (id) => this.announce(id),
      nearEnd: () => this.found.more(),
      released: () => this.searchChanged(),
    };
    this.grid = new MarketGrid(gridEvents, dependencies.clock);
    this.search = searchField(this.grid.root.id);
    this.search.addEventListener("input", () => this.seek());
    this.search.addEventListener("keydown", (event) => this.steer(event));
    this.tabs = MARKETS.map((market) => this.tab(market));
    this.lists = new ListBar(dependencies.settings, () => this.render());
    this.more = element("button", {
      class: "market-further",
      attributes: { type: "button" },
      onClick: () => this.found.more(),
    });
    const parts = [columnNames(), this.grid.root, this.more, this.note];
    root.append(this.head(), this.search, this.lists.root, ...parts);
    dependencies.settings.subscribe((now, before) => {
      if (now.favourites !== before.favourites || now.lists !== before.lists) this.render();
    });
    dependencies.priceSteps.subscribe(() => this.render());
  }

  setWhitelist(whitelist: readonly string[]): void {
    this.followed = followedOf(whitelist);
    this.firstExchange = tryParseSeriesId(whitelist[0])?.exchange ?? "";
    this.render();
  }

  /** Marks the series as the chosen one and reads its exchange's markets. */
  setCurrent(series: SeriesId): void {
    const moved = this.current?.exchange !== series.exchange || this.market !== series.market;
    this.current = series;
    this.livePrice = null;
    this.market = series.market;
    if (moved) this.restart();
    else this.render();
  }

  /** Figures of the chosen series over the last 24 hours, where the venue lists it. */
  currentFigures(): TopMarket | null {
    const { current } = this;
    if (current === null || current.market !== this.market) return null;
    const name = displaySymbol(current.symbol);
    return this.topMarkets.find((figures) => displaySymbol(figures.symbol) === name) ?? null;
  }

  /** Sets whether the panel is open; closed, it still updates the figures of the chosen series. */
  setShown(shown: boolean): void {
    this.shown = shown;
    this.grid.showLivePrice(this.livePrice);
    this.attend();
  }

  /** Shows the newest price on the chart in the row of its series; null while it is not live. */
  showLivePrice(price: number | null): void {
    if (price === this.livePrice) return;
    this.livePrice = price;
    if (this.shown) this.grid.showLivePrice(price);
  }

  /** Without the server figures are old; their stream may be dead without an event. */
  setReached(reached: boolean): void {
    if (reached === this.reached) return;
    this.reached = reached;
    if (reached) this.follow();
    this.render();
  }

  focusSearch(): void {
    this.search.focus();
    this.search.select();
  }

  private head(): HTMLElement {
    const close = element("button", {
      class: "picker-close",
      text: "✕",
      attributes: { type: "button", "aria-label": t("Close markets") },
      onClick: () => this.events.closed(),
    });
    const tabs = element(
      "div",
      { class: "tabs", attributes: { role: "group", "aria-label": t("Market") } },
      this.tabs,
    );
    return element("div", { class: "picker-head" }, [tabs, close]);
  }

  private tab(market: string): HTMLButtonElement {
    return element("button", {
      class: "tab",
      text: market === "spot" ? t("Spot") : t("Futures"),
      attributes: { type: "button", "data-market": market },
      onClick: () => this.chooseMarket(market),
    });
  }

  /** Shows the ranking of a market; during a search, searches it alone, or both again. */
  private chooseMarket(market: string): void {
    if (this.searches) {
      this.searched = this.searched === market ? null : market;
      this.found.seek(this.search.value, this.searched);
      this.render();
      return;
    }
    this.market = market;
    this.restart();
  }

  private restart(): void {
    this.topMarkets = [];
    this.problem = null;
    this.asked = this.current !== null;
    this.render();
    this.attend();
    this.follow();
  }

  private follow(): void {
    const { current, market } = this;
    if (current !== null) this.feed.follow({ exchange: current.exchange, market });
  }

  private attend(): void {
    if (document.hidden) this.feed.attend("off");
    else this.feed.attend(this.shown ? "list" : "figures");
  }

  private arrived(markets: readonly TopMarket[]): void {
    const isRefresh = this.topMarkets.length > 0 && this.problem === null;
    this.topMarkets = markets;
    this.problem = null;
    const exchange = this.current?.exchange ?? "";
    this.priceSteps.learn(markets.map((each) => ({ ...each, exchange, market: this.market })));
    if (isRefresh) this.figures.want();
    else this.showFigures();
  }

  private showFigures(): void {
    this.render();
    this.events.refreshed();
  }

  private failed(status: number): void {
    this.problem = problemText(status);
    this.showFigures();
  }

  // --- the search --------------------------------------------------------------------------------

  private get searches(): boolean {
    return this.search.value.trim() !== "";
  }

  private seek(): void {
    this.opensFirst = false;
    this.answered = "";
    if (!this.searches) this.searched = null;
    this.found.seek(this.search.value, this.searched);
    this.render();
    this.grid.activate(this.searches ? 0 : null);
    this.grid.root.scrollTop = 0;
  }

  private searchChanged(): void {
    if (this.grid.isPressed) return;
    this.priceSteps.learn(this.found.items);
    this.render();
    if (this.found.status === "loading" || !this.searches) return;
    const answered = `${this.searched} ${this.search.value}`;
    if (this.answered !== answered || this.grid.activeRow === null) this.grid.activate(0);
    this.answered = answered;
    if (this.opensFirst) this.open();
    this.opensFirst = false;
  }

  private steer(event: KeyboardEvent): void {
    if (event.isComposing) return;
    if (event.key === "Enter") this.enter();
    else if (event.key === "Escape") this.escape();
    else if (!this.grid.steer(event.key)) return;
    event.preventDefault();
    event.stopPropagation();
  }

  private enter(): void {
    if (this.found.status === "loading") this.opensFirst = true;
    else if (this.found.status === "failed" && this.grid.activeRow === null) this.found.retry();
    else this.open();
  }

  private open(): void {
    const row = this.grid.activeRow;
    if (row !== null) this.events.picked(this.seriesOf(row));
  }

  /** Ends the search; a second time it leaves the panel. */
  private escape(): void {
    if (this.search.value === "") {
      this.events.left();
      return;
    }
    this.search.value = "";
    this.seek();
  }

  private announce(id: string | null): void {
    if (id === null) this.search.removeAttribute("aria-activedescendant");
    else this.search.setAttribute("aria-activedescendant", id);
  }

  // --- favourites and lists ----------------------------------------------------------------------

  private star(row: MarketRow): void {
    const { favourites } = this.settings.value;
    this.settings.update({ favourites: toggled(favourites, instrumentOf(row)) });
  }

  private addTo(row: MarketRow, id: string): void {
    const { lists } = this.settings.value;
    this.settings.update({ lists: withToggled(lists, id, instrumentOf(row)) });
  }

  // --- what is shown -----------------------------------------------------------------------------

  private render(): void {
    if (this.grid.isPressed) return;
    const pressed = this.searches ? this.searched : this.market;
    for (const tab of this.tabs) {
      tab.setAttribute("aria-pressed", String(tab.dataset["market"] === pressed));
    }
    this.lists.root.hidden = this.searches && !this.lists.isWriting;
    const rows = this.rows();
    const { favourites, lists } = this.settings.value;
    this.grid.show(rows, {
      current: this.current,
      livePrice: this.livePrice,
      withPlace: this.searches || this.lists.view !== "markets",
      favourites,
      lists,
      seriesOf: (row) => this.seriesOf(row),
      stepOf: (row) => this.priceSteps.of(row),
      timeframesOf: (row) => timeframesOf(row, this.found.listings),
    });
    const { root } = this.grid;
    root.dataset["fresh"] = String(this.problem === null && this.reached);
    root.setAttribute("aria-busy", String(this.found.status === "loading"));
    this.more.hidden = !this.searches || !this.found.hasMore;
    setText(this.more, t("Show more of {total}", { total: this.found.total }));
    setText(this.note, this.searches ? this.searchText(rows.length) : this.viewText(rows.length));
    this.note.hidden = this.note.textContent === "";
  }

  private rows(): MarketRow[] {
    const known: KnownMarkets = {
      followed: this.followed,
      exchange: this.current?.exchange ?? this.firstExchange,
      market: this.market,
      topMarkets: this.topMarkets,
    };
    const { status, items } = this.found;
    const waits = status === "loading" && items.length === 0;
    if (waits || status === "failed") return knownRows(this.search.value, known);
    if (this.searches) return foundRows(this.found.items, known);
    const { view } = this.lists;
    if (view === "markets") return marketRows(known);
    const { favourites, lists } = this.settings.value;
    const list = lists.find(({ id }) => id === view);
    return listedRows(list?.symbols ?? favourites, known);
  }

  private seriesOf(row: MarketRow): string {
    return seriesOfRow(row, this.current?.timeframe.text ?? null);
  }

  private viewText(count: number): string {
    if (this.lists.view === "favourites" && count === 0) return t("Star a market to keep it here.");
    if (this.lists.view !== "markets") return count === 0 ? t("Add markets with ⋯ in their row.") : "";
    if (this.problem !== null) return this.problem;
    return count === 0 && this.topMarkets.length === 0 && this.asked ? t("No markets here yet.") : "";
  }

  private searchText(count: number): string {
    const { status, listings } = this.found;
    if (status === "failed") return t("The search does not answer; these are the markets on this page.");
    if (status === "loading") return count === 0 ? t("Searching…") : "";
    const parts = [
      count === 0 ? t("No market matches.") : "",
      venuesText(t("Still reading: {venues}."), listings, "reading"),
      venuesText(t("Can not be searched now: {venues}."), listings, "unavailable"),
      venuesText(t("Perhaps outdated: {venues}."), listings, "stale"),
      venuesText(t("Too many to search at once; left out: {venues}."), listings, "not_searched"),
    ];
    return parts.filter((text) => text !== "").join(" ");
  }
}

function columnNames(): HTMLElement {
  const names = ["", t("Market"), t("Last"), t("24 h"), ""].map((text) => element("span", { text }));
  return element("div", { class: "market-columns", attributes: { "aria-hidden": "true" } }, names);
}
