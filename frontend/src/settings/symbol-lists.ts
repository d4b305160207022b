/** Favourites and lists of symbols that the user keeps: pure functions over bounded lists. */

import { instrumentOf, type Instrument } from "trade-canvas-client/series-id";

export interface SymbolList {
  readonly id: string;
  readonly name: string;
  /** `exchange:market:symbol` each, in the order in which they were added. */
  readonly symbols: readonly string[];
}

export const MOST_SYMBOLS = 200;
export const MOST_LISTS = 20;
export const LONGEST_NAME = 40;
const LONGEST_SYMBOL = 200;

/** The symbols with one more, or without it; a full list stays as it is. */
export function toggled(symbols: readonly string[], symbol: string): readonly string[] {
  if (symbols.includes(symbol)) return symbols.filter((each) => each !== symbol);
  return symbols.length < MOST_SYMBOLS ? [...symbols, symbol] : symbols;
}

/** The lists with a new one at the end; null without a name, or where there are too many. */
export function withList(
  lists: readonly SymbolList[],
  name: string,
  symbols: readonly string[] = [],
): readonly SymbolList[] | null {
  const kept = nameOf(name);
  if (kept === "" || lists.length >= MOST_LISTS) return null;
  const id = String(1 + Math.max(0, ...lists.map((list) => Number(list.id))));
  return [...lists, { id, name: kept, symbols }];
}

/** The lists with another name for one of them; null without a name. */
export function renamed(
  lists: readonly SymbolList[],
  id: string,
  name: string,
): readonly SymbolList[] | null {
  const kept = nameOf(name);
  if (kept === "") return null;
  return lists.map((list) => (list.id === id ? { ...list, name: kept } : list));
}

export function withoutList(lists: readonly SymbolList[], id: string): readonly SymbolList[] {
  return lists.filter((list) => list.id !== id);
}

/** The lists with a symbol added to one of them, or removed from it. */
export function withToggled(
  lists: readonly SymbolList[],
  id: string,
  symbol: string,
): readonly SymbolList[] {
  return lists.map((list) =>
    list.id === id ? { ...list, symbols: toggled(list.symbols, symbol) } : list,
  );
}

/** The symbols of a stored record; what is not one is left out. */
export function symbolsOf(value: unknown): readonly string[] {
  if (!Array.isArray(value)) return [];
  const symbols = value.filter((text): text is string => tryParseInstrument(text) !== null);
  return [...new Set(symbols)].slice(0, MOST_SYMBOLS);
}

/** The lists of a stored record; what is not one is left out. */
export function listsOf(value: unknown): readonly SymbolList[] {
  if (!Array.isArray(value)) return [];
  const lists = value.flatMap((item: unknown): SymbolList[] => {
    const { id, name, symbols } = (item ?? {}) as Readonly<Record<string, unknown>>;
    if (typeof id !== "string" || !/^\d{1,9}$/.test(id) || typeof name !== "string") return [];
    return nameOf(name) === "" ? [] : [{ id, name: nameOf(name), symbols: symbolsOf(symbols) }];
  });
  const ids = lists.map(({ id }) => id);
  return lists.filter(({ id }, index) => ids.indexOf(id) === index).slice(0, MOST_LISTS);
}

/** `exchange:market:symbol` in its parts; null for anything else. */
export function tryParseInstrument(text: unknown): Instrument | null {
  if (typeof text !== "string" || text.length > LONGEST_SYMBOL) return null;
  const [exchange = "", market = "", ...rest] = text.split(":");
  const symbol = rest.join(":");
  if (exchange === "" || market === "" || symbol === "") return null;
  const instrument = { exchange, market, symbol };
  return instrumentOf(instrument) === text ? instrument : null;
}

function nameOf(name: string): string {
  return name.trim().replaceAll(/\s+/g, " ").slice(0, LONGEST_NAME).trim();
}
