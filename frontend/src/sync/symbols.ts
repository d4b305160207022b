/** What the server's search of symbols answers. */

import type { PriceStep } from "../i18n/format";

export interface FoundSymbol {
  readonly exchange: string;
  readonly market: string;
  readonly symbol: string;
  /** False for a symbol that is delisted or suspended. */
  readonly active: boolean;
  readonly step: PriceStep;
  /** Timeframes that are always followed. */
  readonly whitelisted: readonly string[];
  /** Ranges of letters of `symbol` that match, each to before its second number. */
  readonly matched: readonly (readonly [number, number])[];
}

export type ListingState = "current" | "stale" | "reading" | "unavailable" | "not_searched";

/** How far the symbols of one market of an exchange could be searched. */
export interface Listing {
  readonly exchange: string;
  readonly market: string;
  readonly state: ListingState;
  /** What the exchange offers; null while it is not known. */
  readonly timeframes: readonly string[] | null;
}

export interface SymbolPage {
  readonly items: readonly FoundSymbol[];
  readonly total: number;
  /** Null on the last page. */
  readonly nextCursor: string | null;
  readonly listings: readonly Listing[];
}

export interface SymbolQuery {
  readonly query: string;
  readonly exchange?: string;
  readonly market?: string;
  readonly limit: number;
  readonly cursor?: string;
}

export interface SymbolReader {
  symbols(query: SymbolQuery, signal?: AbortSignal): Promise<SymbolPage>;
}

type Json = Readonly<Record<string, unknown>>;

/** Null when the answer is not a page of symbols; an item that can't be read is left out. */
export function parseSymbolPage(body: Json): SymbolPage | null {
  const { items, listings, total, next_cursor: next } = body;
  if (!Array.isArray(items) || !Array.isArray(listings)) return null;
  return {
    items: items.flatMap((item) => symbolOf(item as Json)),
    total: typeof total === "number" ? total : items.length,
    nextCursor: typeof next === "string" ? next : null,
    listings: listings.flatMap((item) => listingOf(item as Json)),
  };
}

/** The step of prices of a symbol, as the items of several answers have it. */
export function stepOf(item: Json): PriceStep {
  return { tick: positive(item["price_tick"]), digits: positive(item["price_digits"]) };
}

function symbolOf(item: Json): FoundSymbol[] {
  const { exchange, market, symbol } = item;
  if (!isText(exchange) || !isText(market) || !isText(symbol)) return [];
  return [
    {
      exchange,
      market,
      symbol,
      active: item["active"] !== false,
      step: stepOf(item),
      whitelisted: texts(item["whitelisted"]),
      matched: rangesOf(item["matched"]),
    },
  ];
}

function listingOf(item: Json): Listing[] {
  const { exchange, market, state, timeframes } = item;
  if (!isText(exchange) || !isText(market) || !isText(state)) return [];
  const known = Array.isArray(timeframes) ? texts(timeframes) : null;
  return [{ exchange, market, state: state as ListingState, timeframes: known }];
}

function rangesOf(value: unknown): [number, number][] {
  if (!Array.isArray(value)) return [];
  return value.filter(
    (range): range is [number, number] =>
      Array.isArray(range) && range.length === 2 && range.every((at) => Number.isInteger(at)),
  );
}

const isText = (value: unknown): value is string => typeof value === "string";

const texts = (value: unknown): string[] => (Array.isArray(value) ? value.filter(isText) : []);

const positive = (value: unknown): number | null =>
  typeof value === "number" && value > 0 && Number.isFinite(value) ? value : null;
