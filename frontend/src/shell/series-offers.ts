/** Series to offer instead of one that does not exist: of the whitelist, and found by the search. */

import { instrumentOf, seriesIdText, tryParseSeriesId, type SeriesId } from "trade-canvas-client/series-id";
import { parseTimeframe, STANDARD_TIMEFRAMES } from "trade-canvas-client/timeframe";
import { MOST_OFFERS, nearestSeries } from "./series-choice";
import type { FoundSymbol, SymbolReader } from "../sync/symbols";

const SEARCHED = 10;
/** The longest text that the server searches for. */
const LONGEST = 100;

export class SeriesOffers {
  private readonly api: SymbolReader;
  private readonly changed: () => void;
  private wanted = "";
  private found: readonly SeriesId[] = [];

  /** `changed` is called when a search found what the whitelist did not have. */
  constructor(api: SymbolReader, changed: () => void) {
    this.api = api;
    this.changed = changed;
  }

  /** The most similar series that exist: at once those of the whitelist, later those found. */
  of(wanted: string, whitelist: readonly string[]): readonly SeriesId[] {
    if (wanted !== this.wanted) {
      this.wanted = wanted;
      this.found = [];
      void this.search(wanted);
    }
    const known = nearestSeries(wanted, whitelist);
    const names = new Set(this.found.map(({ text }) => text));
    return [...this.found, ...known.filter(({ text }) => !names.has(text))].slice(0, MOST_OFFERS);
  }

  private async search(wanted: string): Promise<void> {
    const query = symbolIn(wanted).slice(0, LONGEST);
    if (query.trim() === "") return;
    try {
      const { items } = await this.api.symbols({ query, limit: SEARCHED });
      if (wanted !== this.wanted) return;
      this.found = nearest(items, wanted).flatMap((item) => seriesOf(item, wanted) ?? []);
    } catch {
      // The whitelist's are offered.
    }
    if (this.found.length > 0) this.changed();
  }
}

/** What is found best, first in the market and exchange of the link; nothing that is delisted. */
function nearest(items: readonly FoundSymbol[], wanted: string): FoundSymbol[] {
  const [exchange, market] = wanted.split(":");
  const pair = (item: FoundSymbol): string | undefined => item.symbol.split(":")[0];
  const active = items.filter((item) => item.active);
  const best = active[0] && pair(active[0]);
  const likeness = (item: FoundSymbol): number =>
    Number(pair(item) === best) * 4 +
    Number(item.exchange === exchange) * 2 +
    Number(item.market === market);
  return active.sort((left, right) => likeness(right) - likeness(left));
}

/** The series of a symbol in the timeframe of the link, or else in one that is followed. */
function seriesOf(item: FoundSymbol, wanted: string): SeriesId | null {
  const asked = timeframeIn(wanted);
  const timeframe = asked ?? item.whitelisted[0] ?? STANDARD_TIMEFRAMES[0];
  const { exchange, market, symbol } = item;
  const series = tryParseSeriesId(seriesIdText(exchange, market, { symbol, timeframe }));
  // What the link names does not exist, in this timeframe at least.
  return series !== null && isNamed(series, wanted) ? null : series;
}

function isNamed(series: SeriesId, wanted: string): boolean {
  const other = tryParseSeriesId(wanted);
  if (other === null) return false;
  const same = instrumentOf(other) === instrumentOf(series);
  return same && other.timeframe.text === series.timeframe.text;
}

/** The symbol that a link names, also where the rest of it is missing. */
function symbolIn(wanted: string): string {
  const parts = wanted.split(":");
  if (parts.length < 3) return wanted.replaceAll(":", " ");
  const end = timeframeIn(wanted) === null ? parts.length : -1;
  return parts.slice(2, end).join(":");
}

function timeframeIn(wanted: string): string | null {
  try {
    return parseTimeframe(wanted.split(":").at(-1) ?? "").text;
  } catch {
    return null;
  }
}
