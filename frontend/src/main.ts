/** Starts the page: chooses the series, keeps the URL up to date, handles browser events. */

import { Api } from "./sync/api";
import { BackOff } from "./sync/back-off";
import { VisibilityMemory } from "./studies/factor-visibility";
import { Page } from "./shell/page";
import { browserClock, openBrowserEventStream, openBrowserSocket } from "./sync/ports";
import { chooseSeries, Preferences, seriesFromUrl, urlWithSeries } from "./settings/preferences";
import { parseSeriesId, type SeriesId } from "./sync/series-id";
import { exposeTradeCanvas } from "./shell/test-surface";
import "./styles.css";

const WHITELIST_MS = 60_000;

const openBackOff = new BackOff(2_000, 30_000, Math.random);

const preferences = new Preferences(() => window.localStorage);
const api = new Api((path, init) => window.fetch(path, init));
const page = new Page(
  {
    api,
    clock: browserClock,
    openSocket: openBrowserSocket,
    openEventStream: openBrowserEventStream,
    random: Math.random,
    visibilityMemory: new VisibilityMemory(() => window.localStorage),
  },
  { chosen: (seriesId) => choose(parseSeriesId(seriesId)) },
);

/** Opens the user's choice, as a new entry of the browser's history. */
function choose(series: SeriesId): void {
  window.history.pushState(null, "", urlWithSeries(window.location.href, series.text));
  open(series);
}

function open(series: SeriesId): void {
  preferences.remember(series.text);
  page.open(series);
}

/** Opens the first available series; returns whether a series is open. */
function openChosen(whitelist: readonly string[]): boolean {
  if (page.state !== null) return true;
  const linked = seriesFromUrl(window.location.search);
  const series = chooseSeries({ linked, remembered: preferences.lastSeries(), whitelist });
  if (series === null) return false;
  window.history.replaceState(null, "", urlWithSeries(window.location.href, series.text));
  open(series);
  return true;
}

/** Polls the whitelist: series may be added while the page is open. */
async function followWhitelist(): Promise<void> {
  let opened = page.state !== null;
  try {
    const whitelist = await api.whitelist();
    page.setWhitelist(whitelist);
    opened = openChosen(whitelist);
    if (!opened)
      page.showNothing("No series yet", "Waiting for the first series to be whitelisted.");
  } catch {
    if (!opened) page.showNothing("Server not reachable", "Trying again every few seconds.");
  }
  const delay = opened ? WHITELIST_MS * (0.9 + 0.2 * Math.random()) : openBackOff.next();
  window.setTimeout(() => void followWhitelist(), delay);
}

window.addEventListener("popstate", () => {
  const series = seriesFromUrl(window.location.search);
  if (series !== null && series.text !== page.state?.seriesId) open(series);
});
window.addEventListener("online", () => page.wake());
document.addEventListener("visibilitychange", () => page.attend(!document.hidden));
window.addEventListener("focus", () => page.attend(true));
page.attend(!document.hidden);

exposeTradeCanvas({ state: () => page.state, held: page.held });
if (seriesFromUrl(window.location.search) !== null) openChosen([]);
void followWhitelist();
