/** Which series to show: the link's, else the remembered one, else the first whitelisted one. */

import { tryParseSeriesId, type SeriesId } from "./series-id";

type SeriesStorage = Pick<Storage, "getItem" | "setItem">;

const KEY = "trade_canvas.series";
const PARAMETER = "series";

/** Remembers the last series; without a working storage it just forgets. */
export class Preferences {
  private readonly storage: () => SeriesStorage;

  /** The storage is asked for late: merely touching `localStorage` may throw. */
  constructor(storage: () => SeriesStorage) {
    this.storage = storage;
  }

  lastSeries(): string | null {
    try {
      return this.storage().getItem(KEY);
    } catch {
      return null;
    }
  }

  remember(seriesId: string): void {
    try {
      this.storage().setItem(KEY, seriesId);
    } catch {
      // Private mode or a full storage: the link still names the series.
    }
  }
}

/** The series that a link names, if it names one we can read. */
export function seriesFromUrl(search: string): SeriesId | null {
  return tryParseSeriesId(new URLSearchParams(search).get(PARAMETER));
}

/** The same address with the series in it; `:` and `/` stay readable. */
export function urlWithSeries(href: string, seriesId: string): string {
  const url = new URL(href);
  url.searchParams.set(PARAMETER, seriesId);
  url.search = url.search.replaceAll("%3A", ":").replaceAll("%2F", "/");
  return url.href;
}

export interface SeriesChoice {
  readonly linked: SeriesId | null;
  readonly remembered: string | null;
  readonly whitelist: readonly string[];
}

/** Null when there is nothing to choose from. */
export function chooseSeries({ linked, remembered, whitelist }: SeriesChoice): SeriesId | null {
  if (linked !== null) return linked;
  const offered = whitelist.flatMap((text) => tryParseSeriesId(text) ?? []);
  const last = tryParseSeriesId(remembered);
  if (last !== null && isStillValid(last, offered)) return last;
  return offered[0] ?? null;
}

/** Series outside the whitelist may be followed on demand, but only from an exchange that is here. */
function isStillValid(series: SeriesId, offered: readonly SeriesId[]): boolean {
  return offered.length === 0 || offered.some((other) => other.exchange === series.exchange);
}
