/** The only parser of `exchange:market:symbol:timeframe` on the page. */

import { parseTimeframe, type Timeframe } from "./timeframe.js";

/** What a series has candles of: a symbol in a market of an exchange. */
export interface Instrument {
  readonly exchange: string;
  readonly market: string;
  /** `BASE/QUOTE`, perhaps with a settlement asset: `BTC/USDT:USDT`. */
  readonly symbol: string;
}

export interface SeriesId extends Instrument {
  readonly text: string;
  readonly timeframe: Timeframe;
}

/** Throws when a part is missing or the timeframe is invalid. */
export function parseSeriesId(text: string): SeriesId {
  const pieces = text.split(":");
  if (pieces.length < 4) {
    throw new Error("series_id must be '{exchange}:{market}:{symbol}:{timeframe}'");
  }
  const exchange = (pieces[0] as string).trim();
  const market = (pieces[1] as string).trim();
  const symbol = pieces.slice(2, -1).join(":").trim();
  if (exchange === "" || market === "" || symbol === "") {
    throw new Error("invalid series_id (empty component)");
  }
  return { text, exchange, market, symbol, timeframe: parseTimeframe(pieces.at(-1) as string) };
}

/** The parsed id, or null when it is invalid. */
export function tryParseSeriesId(text: string | null | undefined): SeriesId | null {
  try {
    return text ? parseSeriesId(text) : null;
  } catch {
    return null;
  }
}

export function seriesIdText(
  exchange: string,
  market: string,
  { symbol, timeframe }: { symbol: string; timeframe: string },
): string {
  return [exchange, market, symbol, timeframe].join(":");
}

/** Names an instrument, the same for both spellings of a symbol that settles in its quote. */
export function instrumentOf({ exchange, market, symbol }: Instrument): string {
  const [pair = "", settled] = symbol.split(":");
  const repeats = settled !== undefined && pair.endsWith(`/${settled}`);
  return [exchange, market, repeats ? pair : symbol].join(":");
}

/** `BTC/USDT:USDT` is shown as `BTC/USDT`: the settlement asset repeats the quote. */
export function displaySymbol(symbol: string): string {
  return symbol.split(":")[0] as string;
}
