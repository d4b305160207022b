/** The rows of the market list: whitelisted series first, then the venue's largest markets. */

import { displaySymbol, seriesIdText, tryParseSeriesId, type SeriesId } from "../sync/series-id";
import { STANDARD_TIMEFRAMES } from "../sync/timeframe";
import type { TopMarket } from "../sync/api";

export const MARKETS = ["spot", "futures"] as const;
export type Market = (typeof MARKETS)[number];

export interface MarketRow {
  readonly exchange: string;
  readonly market: string;
  readonly symbol: string;
  /** Whitelisted timeframes of the symbol; empty if it would be followed on demand. */
  readonly timeframes: readonly string[];
  readonly figures: TopMarket | null;
}

export interface MarketQuery {
  readonly whitelist: readonly string[];
  readonly exchange: string;
  readonly market: string;
  readonly topMarkets: readonly TopMarket[];
  readonly search: string;
}

export function marketRows(query: MarketQuery): MarketRow[] {
  const followed = followedRows(query);
  const known = new Set(followed.filter((row) => row.exchange === query.exchange).map(nameOf));
  const others = query.topMarkets
    .filter((figures) => !known.has(displaySymbol(figures.symbol)))
    .map((figures) => ({
      exchange: query.exchange,
      market: query.market,
      symbol: figures.symbol,
      timeframes: [],
      figures,
    }));
  const wanted = query.search
    .trim()
    .toLowerCase()
    .replaceAll(/[^a-z0-9]/g, "");
  return [...followed, ...others].filter((row) => searchText(row).includes(wanted));
}

/** The series that a click on the row opens, in the current timeframe if the row has it. */
export function seriesOfRow(row: MarketRow, timeframeInUse: string | null): string {
  const { timeframes } = row;
  const standard: readonly string[] = STANDARD_TIMEFRAMES;
  const choices = timeframes.length > 0 ? timeframes : standard;
  const keeps = timeframeInUse !== null && choices.includes(timeframeInUse);
  const timeframe = keeps ? timeframeInUse : (choices[0] as string);
  return seriesIdText(row.exchange, row.market, { symbol: row.symbol, timeframe });
}

export function isRowOf(row: MarketRow, series: SeriesId | null): boolean {
  return (
    series !== null &&
    row.exchange === series.exchange &&
    row.market === series.market &&
    row.symbol === series.symbol
  );
}

function followedRows(query: MarketQuery): MarketRow[] {
  const rows = new Map<string, MarketRow>();
  for (const series of query.whitelist.flatMap((text) => tryParseSeriesId(text) ?? [])) {
    if (series.market !== query.market) continue;
    const key = `${series.exchange}:${series.symbol}`;
    const timeframes = [...(rows.get(key)?.timeframes ?? []), series.timeframe.text];
    const { exchange, market, symbol } = series;
    rows.set(key, { exchange, market, symbol, timeframes, figures: figuresOf(series, query) });
  }
  return [...rows.values()];
}

function figuresOf(series: SeriesId, query: MarketQuery): TopMarket | null {
  if (series.exchange !== query.exchange) return null;
  const name = displaySymbol(series.symbol);
  return query.topMarkets.find((figures) => displaySymbol(figures.symbol) === name) ?? null;
}

const nameOf = (row: MarketRow): string => displaySymbol(row.symbol);

const searchText = (row: MarketRow): string =>
  `${row.exchange}${row.symbol}`.toLowerCase().replaceAll(/[^a-z0-9]/g, "");
