/** Which series to show: that of the URL, else the last one, else the first whitelisted one. */

import { tryParseSeriesId, type SeriesId } from "trade-canvas-client/series-id";

const PARAMETER = "series";

/** The series that the URL names; null without a valid one. */
export function seriesFromUrl(search: string): SeriesId | null {
  return tryParseSeriesId(new URLSearchParams(search).get(PARAMETER));
}

/** What the URL names as a series, as it stands there; null without it. */
export function textFromUrl(search: string): string | null {
  return new URLSearchParams(search).get(PARAMETER);
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

/** Null when there is no series. */
export function chooseSeries({ linked, remembered, whitelist }: SeriesChoice): SeriesId | null {
  if (linked !== null) return linked;
  const offered = whitelist.flatMap((text) => tryParseSeriesId(text) ?? []);
  const last = tryParseSeriesId(remembered);
  if (last !== null && isStillValid(last, offered)) return last;
  return offered[0] ?? null;
}

/** Other series may be followed on demand, but only of an exchange in the whitelist. */
function isStillValid(series: SeriesId, offered: readonly SeriesId[]): boolean {
  return offered.length === 0 || offered.some((other) => other.exchange === series.exchange);
}

export const MOST_OFFERS = 3;

/** Whitelisted series to offer instead of one that does not exist, the most similar first. */
export function nearestSeries(wanted: string, whitelist: readonly string[]): SeriesId[] {
  const [exchange, market] = wanted.split(":");
  const likeness = (series: SeriesId): number =>
    Number(wanted.includes(`:${series.symbol}`)) * 4 +
    Number(series.exchange === exchange) * 2 +
    Number(series.market === market);
  return whitelist
    .flatMap((text) => tryParseSeriesId(text) ?? [])
    .sort((left, right) => likeness(right) - likeness(left))
    .slice(0, MOST_OFFERS);
}
