/**
 * The rows of the market panel: a grid, the popup of the search's combobox. The focus stays in the
 * search, which names the active row; the buttons of that row are reached with Tab.
 */

import { placeName, t } from "../i18n/words";
import { element, keepChildren, setText } from "../dom";
import { formatPercent, formatPrice, formatVolume, priceUnit, type PriceStep } from "../i18n/format";
import { isRowOf, seriesAt, type MarketRow } from "./market-list";
import { displaySymbol, instrumentOf, type SeriesId } from "trade-canvas-client/series-id";
import { Timers } from "trade-canvas-client/timers";
import type { Clock } from "trade-canvas-client/ports";
import type { SymbolList } from "../settings/symbol-lists";

export interface GridEvents {
  /** The user chose a series. */
  picked(seriesId: string): void;
  /** The star of a row was clicked. */
  starred(row: MarketRow): void;
  /** A row is to be in a list, or not any more. */
  listed(row: MarketRow, listId: string): void;
  /** A row is to be in a new list. */
  listWanted(row: MarketRow): void;
  /** The id of the active row's element; null without one. */
  activated(id: string | null): void;
  /** The user came close to the last row. */
  nearEnd(): void;
  /** A press on a row ended: rows may change again. */
  released(): void;
}

/** What is shown beside the rows. */
export interface GridContext {
  readonly current: SeriesId | null;
  /** The newest price on the chart of the current series; null while it is not live. */
  readonly livePrice: number | null;
  /** Whether each row names its exchange and market. */
  readonly withPlace: boolean;
  readonly favourites: readonly string[];
  readonly lists: readonly SymbolList[];
  seriesOf(row: MarketRow): string;
  stepOf(row: MarketRow): PriceStep | null;
  timeframesOf(row: MarketRow): readonly string[];
}

const NEAR_END_PX = 200;
const PAGE_ROWS = 8;
/** A tap becomes a click within this time. */
const CLICK_MS = 300;
/** A press may end without an event, as one on a scroll bar does. */
const LONGEST_PRESS_MS = 3000;
const NEW_LIST = "list-new";
let grids = 0;

export class MarketGrid {
  readonly root: HTMLElement;
  private readonly events: GridEvents;
  private rows: readonly MarketRow[] = [];
  private context: GridContext | null = null;
  /** Names of the active row, and of the one with details. */
  private active: string | null = null;
  private expanded: string | null = null;
  private readonly timers: Timers<"press">;

  constructor(events: GridEvents, clock: Clock) {
    this.events = events;
    this.timers = new Timers(clock);
    grids += 1;
    this.root = element("div", {
      class: "market-list",
      attributes: { role: "grid", id: `markets-${grids}`, "aria-label": t("Markets") },
    });
    this.root.addEventListener("scroll", () => this.watchEnd());
    this.root.addEventListener("keydown", (event) => this.moveFocus(event));
    this.root.addEventListener("click", ({ target }) => this.clicked(target as Element));
    this.root.addEventListener("pointerdown", ({ button }) => {
      if (button === 0) this.timers.arm("press", LONGEST_PRESS_MS, () => events.released());
    });
    for (const end of ["pointerup", "pointercancel"]) {
      window.addEventListener(end, () => this.lift(end === "pointerup" ? CLICK_MS : 0));
    }
  }

  /** Whether a row is pressed: if rows moved before the release, the click would miss its row. */
  get isPressed(): boolean {
    return this.timers.isArmed("press");
  }

  /** Shows other rows, and keeps the active row and the keyboard focus where they still exist. */
  show(rows: readonly MarketRow[], context: GridContext): void {
    this.rows = rows;
    this.context = context;
    const names = rows.map(instrumentOf);
    if (this.active !== null && !names.includes(this.active)) this.active = null;
    const focused = this.focusedControl();
    const elements = rows.flatMap((row, index) => this.elementsOf(row, index));
    keepChildren(this.root, elements, ({ id }) => id);
    if (focused !== null) this.root.querySelector<HTMLElement>(focused)?.focus({ preventScroll: true });
    this.announce();
  }

  /** Shows the newest price of the current series, without going through the rows. */
  showLivePrice(livePrice: number | null): void {
    if (this.context === null) return;
    this.context = { ...this.context, livePrice };
    const cell = this.root.querySelector('[aria-current="true"] .market-price');
    const row = this.rows.find((each) => isRowOf(each, this.context?.current ?? null));
    if (cell !== null && row !== undefined) setText(cell, priceText(row, this.context));
  }

  get activeRow(): MarketRow | null {
    return this.rows[this.activeIndex] ?? null;
  }

  /** Makes the row that is `step` further the active one; from none, the first or the last. */
  move(step: number): void {
    const { activeIndex: index } = this;
    const last = this.rows.length - 1;
    if (step > 0 && index === last) this.events.nearEnd();
    this.activate(index < 0 ? (step > 0 ? 0 : last) : Math.max(0, Math.min(last, index + step)));
  }

  /** Reacts to a key of the search; returns whether it was one for the rows. */
  steer(key: string): boolean {
    const steps: Record<string, number> = {
      ArrowDown: 1,
      ArrowUp: -1,
      PageDown: PAGE_ROWS,
      PageUp: -PAGE_ROWS,
    };
    if (steps[key] !== undefined) this.move(steps[key]);
    else if (key === "Home" && this.active !== null) this.activate(0);
    else if (key === "End" && this.active !== null) this.activate(this.rows.length - 1);
    else return false;
    return true;
  }

  /** Makes a row the active one; null for none. */
  activate(index: number | null): void {
    const row = index === null ? undefined : this.rows[index];
    this.active = row === undefined ? null : instrumentOf(row);
    for (const each of this.root.querySelectorAll<HTMLElement>(".market")) this.mark(each);
    this.announce();
    this.activeElement()?.scrollIntoView?.({ block: "nearest" });
  }

  private get activeIndex(): number {
    return this.rows.findIndex((row) => instrumentOf(row) === this.active);
  }

  private activeElement(): HTMLElement | null {
    return this.root.querySelector('.market[aria-selected="true"]');
  }

  private announce(): void {
    this.events.activated(this.activeElement()?.id ?? null);
  }

  private elementsOf(row: MarketRow, index: number): HTMLElement[] {
    const context = this.context as GridContext;
    const name = instrumentOf(row);
    const seriesId = context.seriesOf(row);
    const main = element(
      "div",
      {
        class: "market",
        attributes: {
          role: "row",
          id: this.idOf(name),
          "data-series-id": seriesId,
          "data-name": name,
        },
      },
      [this.starCell(row), nameCell(row, context), ...figureCells(row, context), this.moreCell(row)],
    );
    if (isRowOf(row, context.current)) main.setAttribute("aria-current", "true");
    if (!row.active) main.dataset["inactive"] = "";
    this.mark(main, index === 0);
    return name === this.expanded ? [main, this.details(row)] : [main];
  }

  /** Shows whether a row is the active one; only its buttons are in the order of Tab. */
  private mark(row: HTMLElement, isFirst = row === this.root.firstElementChild): void {
    const isActive = row.dataset["name"] === this.active;
    row.setAttribute("aria-selected", String(isActive));
    const reachable = isActive || (this.active === null && isFirst);
    for (const button of row.querySelectorAll("button")) button.tabIndex = reachable ? 0 : -1;
  }

  private starCell(row: MarketRow): HTMLElement {
    const has = this.context?.favourites.includes(instrumentOf(row)) ?? false;
    const button = element("button", {
      class: "market-star",
      text: has ? "★" : "☆",
      attributes: {
        type: "button",
        "data-control": "star",
        "aria-pressed": String(has),
        "aria-label": t("Favourite {symbol}", { symbol: displaySymbol(row.symbol) }),
      },
    });
    return element("div", { class: "market-tool", attributes: { role: "gridcell" } }, [button]);
  }

  private moreCell(row: MarketRow): HTMLElement {
    const name = instrumentOf(row);
    const label = t("Timeframes and lists of {symbol}", { symbol: displaySymbol(row.symbol) });
    const button = element("button", {
      class: "market-more",
      text: "⋯",
      attributes: {
        type: "button",
        "data-control": "more",
        "aria-expanded": String(name === this.expanded),
        "aria-label": label,
        title: label,
      },
    });
    return element("div", { class: "market-tool", attributes: { role: "gridcell" } }, [button]);
  }

  private details(row: MarketRow): HTMLElement {
    const { lists, timeframesOf } = this.context as GridContext;
    const name = instrumentOf(row);
    const frames = timeframesOf(row).map((text) => {
      const button = chip(text, `timeframe-${text}`);
      if (row.timeframes.includes(text)) button.dataset["followed"] = "";
      return button;
    });
    const places = lists.map((list) => {
      const button = chip(list.name, `list-${list.id}`);
      button.setAttribute("aria-pressed", String(list.symbols.includes(name)));
      return button;
    });
    const wanted = chip(t("+ New list"), NEW_LIST);
    const attributes = { role: "gridcell", "data-control": "details" };
    const cell = element("div", { class: "market-details", attributes }, [
      chips(t("Timeframes"), frames),
      chips(t("Lists"), [...places, wanted]),
    ]);
    return element(
      "div",
      {
        class: "market-details-row",
        attributes: { role: "row", id: `${this.idOf(name)}-details`, "data-name": name },
      },
      [cell],
    );
  }

  /** The only listener: elements stay while their rows change. */
  private clicked(target: Element): void {
    const name = target.closest<HTMLElement>("[data-name]")?.dataset["name"];
    const row = this.rows.find((each) => instrumentOf(each) === name);
    const control = target.closest<HTMLElement>("[data-control]")?.dataset["control"] ?? "";
    const wasPressed = this.isPressed;
    this.timers.clear("press");
    if (row !== undefined) this.use(row, control);
    if (wasPressed) this.events.released();
  }

  /** Does what a control of a row is for; the row itself opens its series. */
  private use(row: MarketRow, control: string): void {
    const { events, context } = this;
    const [kind, ...words] = control.split("-");
    const value = words.join("-");
    if (context === null) return;
    if (kind === "star") events.starred(row);
    else if (kind === "more") this.toggleDetails(row, context);
    else if (kind === "timeframe") events.picked(seriesAt(row, value));
    else if (control === NEW_LIST) events.listWanted(row);
    else if (kind === "list") events.listed(row, value);
    else if (control === "") events.picked(context.seriesOf(row));
  }

  private toggleDetails(row: MarketRow, context: GridContext): void {
    const name = instrumentOf(row);
    this.expanded = this.expanded === name ? null : name;
    this.show(this.rows, context);
  }

  /** The press ended; the click that may come of it has still to meet the same rows. */
  private lift(afterMs: number): void {
    if (this.isPressed) this.timers.arm("press", afterMs, () => this.events.released());
  }

  private idOf(name: string): string {
    return `${this.root.id}-${encodeURIComponent(name)}`;
  }

  /** A selector of the button in the grid that has the focus; null without one. */
  private focusedControl(): string | null {
    const { activeElement } = document;
    if (!(activeElement instanceof HTMLElement) || !this.root.contains(activeElement)) return null;
    const row = activeElement.closest<HTMLElement>("[data-name]")?.dataset["name"] ?? "";
    const control = activeElement.dataset["control"] ?? "";
    return `[data-name="${CSS.escape(row)}"] [data-control="${CSS.escape(control)}"]`;
  }

  /** Up and down move the focus to the same button of the next row. */
  private moveFocus(event: KeyboardEvent): void {
    const control = (event.target as HTMLElement).dataset["control"];
    const isStep = event.key === "ArrowDown" || event.key === "ArrowUp";
    if (!isStep || (control !== "star" && control !== "more")) return;
    event.preventDefault();
    this.move(event.key === "ArrowDown" ? 1 : -1);
    this.activeElement()?.querySelector<HTMLElement>(`[data-control="${control}"]`)?.focus();
  }

  private watchEnd(): void {
    const { scrollTop, clientHeight, scrollHeight } = this.root;
    if (scrollTop + clientHeight > scrollHeight - NEAR_END_PX) this.events.nearEnd();
  }
}

function chip(text: string, control: string): HTMLButtonElement {
  const attributes = { type: "button", "data-control": control };
  return element("button", { class: "chip", text, attributes });
}

function chips(name: string, buttons: readonly HTMLElement[]): HTMLElement {
  return element("div", { class: "chips", attributes: { role: "group", "aria-label": name } }, buttons);
}

function nameCell(row: MarketRow, context: GridContext): HTMLElement {
  const { current, withPlace } = context;
  const volume = row.figures?.quoteVolume;
  const elsewhere = current !== null && row.exchange !== current.exchange;
  const facts = [
    withPlace ? placeName(row) : null,
    !withPlace && elsewhere ? row.exchange : null,
    row.active ? null : t("Not traded any more"),
    volume == null ? null : t("Vol {volume}", { volume: formatVolume(volume) }),
    row.timeframes.length > 0 ? row.timeframes.join(" ") : null,
  ];
  const detail = facts.filter((text) => text !== null).join(" · ");
  const symbol = element("span", { class: "market-symbol" }, symbolParts(row));
  if (row.timeframes.length > 0) {
    const title = t("Followed all the time");
    const attributes = { title, role: "img", "aria-label": title };
    symbol.append(element("span", { class: "followed", attributes }));
  }
  return element("div", { class: "market-name", attributes: { role: "gridcell" } }, [
    symbol,
    element("span", { class: "market-detail", text: detail }),
  ]);
}

/** Base and quote, with the letters that match marked. */
function symbolParts(row: MarketRow): HTMLElement[] {
  const shown = displaySymbol(row.symbol);
  const slash = shown.indexOf("/");
  const end = slash < 0 ? shown.length : slash;
  return [
    element("strong", {}, marked(shown, row.matched, [0, end])),
    element("span", { class: "market-quote" }, marked(shown, row.matched, [end, shown.length])),
  ];
}

function marked(
  text: string,
  ranges: MarketRow["matched"],
  [from, to]: readonly [number, number],
): (Node | string)[] {
  const parts: (Node | string)[] = [];
  let at = from;
  for (const [first, end] of ranges) {
    const [begin, stop] = [Math.max(first, at), Math.min(end, to)];
    if (begin >= stop) continue;
    parts.push(text.slice(at, begin), element("mark", { text: text.slice(begin, stop) }));
    at = stop;
  }
  return [...parts, text.slice(at, to)].filter((part) => part !== "");
}

function figureCells(row: MarketRow, context: GridContext): HTMLElement[] {
  const percent = row.figures?.changePercent ?? null;
  const text = priceText(row, context);
  const change = element("div", {
    class: "market-change",
    text: percent === null ? "" : formatPercent(percent),
    attributes: { role: "gridcell" },
  });
  if (percent !== null) change.dataset["direction"] = percent >= 0 ? "up" : "down";
  return [element("div", { class: "market-price", text, attributes: { role: "gridcell" } }), change];
}

/** The ranking is up to 20 s old: beside the chart it must not have another price than the chart. */
function priceText(row: MarketRow, { current, livePrice, stepOf }: GridContext): string {
  const live = isRowOf(row, current) ? livePrice : null;
  const price = live ?? row.figures?.lastPrice ?? null;
  return price === null ? "" : formatPrice(price, priceUnit(stepOf(row), [price]));
}
