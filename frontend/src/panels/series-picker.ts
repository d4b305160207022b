/** The market panel: spot and futures, search, whitelisted and top markets with their figures. */

import { t } from "../i18n/words";
import { element, setText } from "../dom";
import { formatPercent, formatPrice, formatVolume, priceUnit } from "../i18n/format";
import { isRowOf, marketRows, MARKETS, seriesOfRow, type MarketRow } from "./market-list";
import { displaySymbol, tryParseSeriesId, type SeriesId } from "../sync/series-id";
import { TopMarketsFeed, type FeedDependencies } from "./top-markets-feed";
import type { PriceStep } from "../i18n/format";
import type { PriceSteps } from "../sync/price-steps";
import type { TopMarket } from "../sync/api";

export type PickerDependencies = FeedDependencies & { readonly priceSteps: PriceSteps };

export interface PickerEvents {
  picked(seriesId: string): void;
  closed(): void;
  /** New figures arrived. */
  refreshed(): void;
}

export class SeriesPicker {
  private readonly events: PickerEvents;
  private readonly feed: TopMarketsFeed;
  private readonly priceSteps: PriceSteps;
  private readonly search: HTMLInputElement;
  private readonly tabs: readonly HTMLButtonElement[];
  private readonly list = element("ul", { class: "market-list" });
  private readonly note = element("p", {
    class: "market-note",
    attributes: { "aria-live": "polite" },
  });
  private whitelist: readonly string[] = [];
  private current: SeriesId | null = null;
  private market: string = MARKETS[0];
  private topMarkets: readonly TopMarket[] = [];
  private problem: string | null = null;
  /** The venue's markets have been requested. */
  private asked = false;
  private shown = false;

  constructor(root: HTMLElement, dependencies: PickerDependencies, events: PickerEvents) {
    this.events = events;
    this.priceSteps = dependencies.priceSteps;
    this.feed = new TopMarketsFeed(dependencies, {
      arrived: (markets) => this.arrived(markets),
      failed: (status) => this.failed(status),
    });
    document.addEventListener("visibilitychange", () => this.attend());
    this.search = element("input", {
      class: "market-search",
      attributes: {
        type: "search",
        placeholder: t("Search markets"),
        "aria-label": t("Search markets"),
        autocomplete: "off",
        spellcheck: "false",
      },
    });
    this.search.addEventListener("input", () => this.render());
    this.search.addEventListener("keydown", (event) => this.pickFirst(event));
    this.tabs = MARKETS.map((market) => this.tab(market));
    root.append(this.head(), this.search, columnNames(), this.list, this.note);
    this.list.addEventListener("keydown", (event) => this.moveFocus(event));
  }

  setWhitelist(whitelist: readonly string[]): void {
    this.whitelist = whitelist;
    this.render();
  }

  /** Marks the series as the chosen one and reads its exchange's markets. */
  setCurrent(series: SeriesId): void {
    const moved = this.current?.exchange !== series.exchange || this.market !== series.market;
    this.current = series;
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
    this.attend();
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
      onClick: () => {
        this.market = market;
        this.restart();
      },
    });
  }

  private restart(): void {
    this.topMarkets = [];
    this.problem = null;
    this.asked = this.current !== null;
    this.render();
    if (this.current === null) return;
    this.attend();
    this.feed.follow({ exchange: this.current.exchange, market: this.market });
  }

  private attend(): void {
    if (document.hidden) this.feed.attend("off");
    else this.feed.attend(this.shown ? "stream" : "poll");
  }

  private arrived(markets: readonly TopMarket[]): void {
    this.topMarkets = markets;
    this.problem = null;
    const exchange = this.current?.exchange ?? "";
    for (const { symbol, step } of markets) {
      this.priceSteps.learn({ exchange, market: this.market, symbol }, step);
    }
    this.render();
    this.events.refreshed();
  }

  private failed(status: number): void {
    this.problem = problemText(status);
    this.render();
    this.events.refreshed();
  }

  private render(): void {
    for (const tab of this.tabs) {
      tab.setAttribute("aria-pressed", String(tab.dataset["market"] === this.market));
    }
    const rows = marketRows({
      whitelist: this.whitelist,
      exchange: this.current?.exchange ?? tryParseSeriesId(this.whitelist[0])?.exchange ?? "",
      market: this.market,
      topMarkets: this.topMarkets,
      search: this.search.value,
    });
    this.replaceRows(rows);
    this.list.dataset["fresh"] = String(this.problem === null);
    setText(this.note, this.problem ?? (rows.length === 0 ? this.emptyText() : ""));
    this.note.hidden = this.note.textContent === "";
  }

  /** Rebuilds the list and keeps the keyboard focus. */
  private replaceRows(rows: readonly MarketRow[]): void {
    const focused = this.buttons().find((button) => button === document.activeElement);
    this.list.replaceChildren(...rows.map((row) => this.row(row)));
    if (focused === undefined) return;
    const { seriesId } = focused.dataset;
    const same = this.buttons().find((button) => button.dataset["seriesId"] === seriesId);
    same?.focus({ preventScroll: true });
  }

  private row(row: MarketRow): HTMLElement {
    const seriesId = seriesOfRow(row, this.current?.timeframe.text ?? null);
    const button = element(
      "button",
      {
        class: "market",
        attributes: { type: "button", "data-series-id": seriesId },
        onClick: () => this.events.picked(seriesId),
      },
      [nameCell(row, this.current), ...figureCells(row, this.priceSteps.of(row))],
    );
    if (isRowOf(row, this.current)) button.setAttribute("aria-current", "true");
    return element("li", {}, [button]);
  }

  private emptyText(): string {
    if (this.search.value.trim() !== "") return t("No market matches.");
    return this.topMarkets.length === 0 && this.asked ? t("No markets here yet.") : "";
  }

  private pickFirst(event: KeyboardEvent): void {
    const first = this.buttons()[0];
    if (event.key === "Enter") first?.click();
    else if (event.key === "ArrowDown") first?.focus();
    else return;
    event.preventDefault();
  }

  private moveFocus(event: KeyboardEvent): void {
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (step === 0) return;
    event.preventDefault();
    const buttons = this.buttons();
    const next = buttons.indexOf(document.activeElement as HTMLButtonElement) + step;
    if (next < 0) this.search.focus();
    else buttons[next]?.focus();
  }

  private buttons(): HTMLButtonElement[] {
    return [...this.list.querySelectorAll<HTMLButtonElement>("button.market")];
  }
}

function columnNames(): HTMLElement {
  const names = ([t("Market"), t("Last"), t("24 h")] as const).map((text) => element("span", { text }));
  return element("div", { class: "market-columns", attributes: { "aria-hidden": "true" } }, names);
}

function nameCell(row: MarketRow, current: SeriesId | null): HTMLElement {
  const [base = "", quote] = displaySymbol(row.symbol).split("/");
  const elsewhere = current !== null && row.exchange !== current.exchange;
  const volume = row.figures?.quoteVolume;
  const facts = [
    elsewhere ? row.exchange : null,
    volume == null ? null : t("Vol {volume}", { volume: formatVolume(volume) }),
    row.timeframes.length > 0 ? row.timeframes.join(" ") : null,
  ];
  const detail = facts.filter((text) => text !== null).join(" · ");
  const name = element("span", { class: "market-symbol" }, [
    element("strong", { text: base }),
    element("span", { class: "market-quote", text: quote === undefined ? "" : `/${quote}` }),
  ]);
  if (row.timeframes.length > 0) {
    const title = t("Followed all the time");
    name.append(
      element("span", {
        class: "followed",
        attributes: { title, role: "img", "aria-label": title },
      }),
    );
  }
  return element("span", { class: "market-name" }, [
    name,
    element("span", { class: "market-detail", text: detail }),
  ]);
}

function figureCells({ figures }: MarketRow, step: PriceStep | null): HTMLElement[] {
  const price = figures?.lastPrice ?? null;
  const percent = figures?.changePercent ?? null;
  const change = element("span", {
    class: "market-change",
    text: percent === null ? "" : formatPercent(percent),
  });
  if (percent !== null) change.dataset["direction"] = percent >= 0 ? "up" : "down";
  const text = price === null ? "" : formatPrice(price, priceUnit(step, [price]));
  return [element("span", { class: "market-price", text }), change];
}

function problemText(status: number): string {
  if (status === 400) return t("This exchange gives no market ranking; whitelisted series only.");
  return t("Market figures are not available right now; trying again.");
}
