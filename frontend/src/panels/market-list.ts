/** The rows of the market list: of the whitelist and the rankings, of a search, or of a list. */

import { tryParseInstrument } from "../settings/symbol-lists";
import {
  displaySymbol,
  instrumentOf,
  seriesIdText,
  tryParseSeriesId,
  type Instrument,
  type SeriesId,
} from "trade-canvas-client/series-id";
import { offeredTimeframes, STANDARD_TIMEFRAMES } from "trade-canvas-client/timeframe";
import type { TopMarket } from "../sync/api";
import type { FoundSymbol, Listing } from "../sync/symbols";

export const MARKETS = ["spot", "futures"] as const;
export type Market = (typeof MARKETS)[number];

export interface MarketRow extends Instrument {
  /** Whitelisted timeframes of the symbol; empty if it would be followed on demand. */
  readonly timeframes: readonly string[];
  readonly figures: TopMarket | null;
  /** False for a symbol that is delisted or suspended. */
  readonly active: boolean;
  /** Ranges of letters of `symbol` that match a search. */
  readonly matched: FoundSymbol["matched"];
}

/** The whitelisted series of each instrument, by its name, in the order of the whitelist. */
export type Followed = ReadonlyMap<string, readonly SeriesId[]>;

/** What the page knows of markets without a search. */
export interface KnownMarkets {
  readonly followed: Followed;
  /** The venue of the figures. */
  readonly exchange: string;
  readonly market: string;
  readonly topMarkets: readonly TopMarket[];
}

export function followedOf(whitelist: readonly string[]): Followed {
  const followed = new Map<string, SeriesId[]>();
  for (const series of whitelist.flatMap((text) => tryParseSeriesId(text) ?? [])) {
    const name = instrumentOf(series);
    followed.set(name, [...(followed.get(name) ?? []), series]);
  }
  return followed;
}

/** The whitelisted symbols of a market, then the venue's largest ones. */
export function marketRows(known: KnownMarkets): MarketRow[] {
  const instruments = [...known.followed.values()].flatMap(([first]) => first ?? []);
  const followed = instruments.filter(({ market }) => market === known.market);
  const names = new Set(followed.map(nameAt(known.exchange)));
  const others = known.topMarkets
    .map(({ symbol }) => ({ exchange: known.exchange, market: known.market, symbol }))
    .filter((instrument) => !names.has(displaySymbol(instrument.symbol)));
  return [...followed, ...others].map((instrument) => rowOf(instrument, known));
}

/** What the server's search found. */
export function foundRows(found: readonly FoundSymbol[], known: KnownMarkets): MarketRow[] {
  return found.map((item) => ({
    ...rowOf(item, known),
    timeframes: item.whitelisted,
    active: item.active,
    matched: item.matched,
  }));
}

/** What the page itself can find without the server's search. */
export function knownRows(search: string, known: KnownMarkets): MarketRow[] {
  const wanted = letters(search);
  const markets = MARKETS.flatMap((market) => {
    const topMarkets = market === known.market ? known.topMarkets : [];
    return marketRows({ ...known, market, topMarkets });
  });
  return markets.filter((row) => letters(row.exchange + row.symbol).includes(wanted));
}

/** The symbols of a list, in its order. */
export function listedRows(symbols: readonly string[], known: KnownMarkets): MarketRow[] {
  return symbols.flatMap((text) => {
    const instrument = tryParseInstrument(text);
    return instrument === null ? [] : [rowOf(instrument, known)];
  });
}

/** The timeframes that a row offers: whitelisted ones, and standard ones that the exchange has. */
export function timeframesOf(row: MarketRow, listings: readonly Listing[]): string[] {
  const listing = listings.find(
    ({ exchange, market }) => exchange === row.exchange && market === row.market,
  );
  const offered = offeredTimeframes(row.timeframes);
  const has = (text: string): boolean =>
    row.timeframes.includes(text) || (listing?.timeframes?.includes(text) ?? true);
  return offered.filter(has);
}

/** The series that a click on the row opens, in the current timeframe if the row has it. */
export function seriesOfRow(row: MarketRow, timeframeInUse: string | null): string {
  const { timeframes } = row;
  const standard: readonly string[] = STANDARD_TIMEFRAMES;
  const choices = timeframes.length > 0 ? timeframes : standard;
  const keeps = timeframeInUse !== null && choices.includes(timeframeInUse);
  return seriesAt(row, keeps ? timeframeInUse : (choices[0] as string));
}

/** The series of a row in a timeframe. */
export function seriesAt({ exchange, market, symbol }: Instrument, timeframe: string): string {
  return seriesIdText(exchange, market, { symbol, timeframe });
}

export function isRowOf(row: MarketRow, series: SeriesId | null): boolean {
  return series !== null && instrumentOf(row) === instrumentOf(series);
}

function rowOf({ exchange, market, symbol }: Instrument, known: KnownMarkets): MarketRow {
  const series = known.followed.get(instrumentOf({ exchange, market, symbol })) ?? [];
  return {
    exchange,
    market,
    // In the whitelist's spelling, so that the series is the one that is followed.
    symbol: series[0]?.symbol ?? symbol,
    timeframes: series.map(({ timeframe }) => timeframe.text),
    figures: figuresOf({ exchange, market, symbol }, known),
    active: true,
    matched: [],
  };
}

function figuresOf(instrument: Instrument, known: KnownMarkets): TopMarket | null {
  const { exchange, market } = instrument;
  if (exchange !== known.exchange || market !== known.market) return null;
  const name = displaySymbol(instrument.symbol);
  return known.topMarkets.find((figures) => displaySymbol(figures.symbol) === name) ?? null;
}

/** The names of symbols of one exchange; another exchange's have none. */
const nameAt =
  (exchange: string) =>
  (instrument: Instrument): string | null =>
    instrument.exchange === exchange ? displaySymbol(instrument.symbol) : null;

const letters = (text: string): string => text.toLowerCase().replaceAll(/[^\p{L}\p{N}]/gu, "");
