/** Starts the page: chooses the series, keeps the URL up to date, handles browser events. */

import { languageFor, setLanguage, t } from "./i18n/words";
import { Api } from "./sync/api";
import { BackOff } from "trade-canvas-client/back-off";
import { Page } from "./shell/page";
import { besideThePage, openBrowserEventStream, openBrowserSocket } from "./sync/ports";
import { followAppearance } from "./settings/appearance";
import { SettingsStore, STORAGE_KEY } from "./settings/settings";
import { chooseSeries, seriesFromUrl, textFromUrl, urlWithSeries } from "./shell/series-choice";
import { labelPage } from "./shell/page-labels";
import { systemClock } from "trade-canvas-client/ports";
import { decodeChunk } from "trade-canvas-client/history-chunk";
import { HistoryReader } from "./sync/history-reader";
import { KeptChunks } from "./sync/kept-chunk";
import { PriceSteps } from "./sync/price-steps";
import { SharedSocket } from "trade-canvas-client/shared-socket";
import { liveSource } from "trade-canvas-client/sync-session";
import { parseSeriesId, type SeriesId } from "trade-canvas-client/series-id";
import { takeEarlyAnswer, withEarlyAnswer } from "./sync/early-answer";
import { exposeTradeCanvas } from "./chart/test-surface";
import "./shell/base.css";
import "./shell/header.css";
import "./panels/factors.css";
import "./chart/cell.css";
import "./drawings/drawings.css";
import "./panels/markets.css";
import "./panels/dialog.css";
import "./panels/sheet.css";
import "./shell/status.css";
// Last: they adapt the others to narrow screens and to paper.
import "./shell/narrow.css";
import "./shell/print.css";

const WHITELIST_MS = 60_000;
let whitelistReadAt = 0;

const openBackOff = new BackOff(2_000, 30_000, Math.random);

const settings = new SettingsStore(() => window.localStorage);
await setLanguage(languageFor(settings.value.language, navigator.languages));
labelPage();
settings.subscribe((now, before) => {
  // Every text is written when it is built.
  if (now.language !== before.language) window.location.reload();
});
let restyle: () => void = () => undefined;
const appearance = followAppearance(
  document.documentElement,
  settings,
  window.matchMedia("(prefers-color-scheme: light)"),
  () => restyle(),
);
const fetchBeside = (path: string, init: RequestInit): Promise<Response> =>
  window.fetch(besideThePage(path), init);
const api = new Api(withEarlyAnswer(fetchBeside, takeEarlyAnswer()));
const reader = new HistoryReader({
  api,
  clock: systemClock,
  kept: new KeptChunks(() => window.localStorage),
  load: async () => new (await import("trade-canvas-client/history")).History(fetchBeside, decodeChunk),
  isHidden: () => document.hidden,
});
const openSocket = new SharedSocket(openBrowserSocket, systemClock).open;
const page = new Page(
  {
    api,
    clock: systemClock,
    openSource: liveSource({ api: reader, clock: systemClock, openSocket, random: Math.random }),
    openEventStream: openBrowserEventStream,
    priceSteps: new PriceSteps({ api, clock: systemClock, isHidden: () => document.hidden }),
    random: Math.random,
    settings,
  },
  {
    chosen: (seriesId) => choose(parseSeriesId(seriesId)),
    // A series that turns out not to exist is not remembered.
    shown: (series) => series !== settings.value.series && settings.update({ series }),
    settled: () => whitelistReadAt === 0 && void readWhitelist(),
  },
);

restyle = () => page.restyle();

/** Opens the user's choice, as a new entry of the browser's history. */
function choose(series: SeriesId): void {
  window.history.pushState(null, "", urlWithSeries(window.location.href, series.text));
  page.open(series);
}

/** Opens the first available series; returns whether a series is open. */
function openChosen(whitelist: readonly string[]): boolean {
  if (page.state !== null) return true;
  const linked = seriesFromUrl(window.location.search);
  const text = textFromUrl(window.location.search);
  if (linked === null && text) {
    page.showMalformed(text);
    return true;
  }
  const series = chooseSeries({ linked, remembered: settings.value.series, whitelist });
  if (series === null) return false;
  const url = urlWithSeries(window.location.href, series.text);
  if (url !== window.location.href) window.history.replaceState(null, "", url);
  page.open(series);
  return true;
}

/** Reads the whitelist again, as often as needed until a series is open. */
async function readWhitelist(): Promise<void> {
  let opened = page.state !== null;
  whitelistReadAt = systemClock.now();
  try {
    const { series, derived } = await api.whitelist();
    page.setWhitelist(series, derived);
    opened = openChosen(series);
    if (!opened)
      page.showNothing(
        t("No series yet"),
        t("Waiting for the first series to be whitelisted."),
      );
  } catch {
    if (!opened) {
      page.showNothing(t("Server not reachable"), t("Trying again every few seconds."));
    }
  }
  if (!opened) window.setTimeout(() => void readWhitelist(), openBackOff.next());
}

/** The user is at the page: series may have been added meanwhile. An idle page asks for nothing. */
function renewWhitelist(): void {
  const isOld = systemClock.now() - whitelistReadAt > WHITELIST_MS;
  if (isOld && page.state !== null) void readWhitelist();
}

function attend(seen: boolean): void {
  page.attend(seen);
  if (seen) renewWhitelist();
}

window.addEventListener("popstate", () => {
  const series = seriesFromUrl(window.location.search);
  if (series !== null && series.text !== page.state?.seriesId) page.open(series);
});
window.addEventListener("storage", ({ key, newValue }) => {
  if (key === STORAGE_KEY) settings.adopt(newValue);
});
for (const printing of [true, false]) {
  window.addEventListener(printing ? "beforeprint" : "afterprint", () => {
    appearance.setPrinting(printing);
    page.setPrinting(printing);
  });
}
window.addEventListener("online", () => page.wake());
document.addEventListener("visibilitychange", () => attend(!document.hidden));
window.addEventListener("focus", () => attend(true));
window.addEventListener("pointerdown", renewWhitelist);
page.attend(!document.hidden);

exposeTradeCanvas({ state: () => page.state, held: page.held });
// The candles of a series that is known come before the list of all series.
if (seriesFromUrl(window.location.search) !== null) openChosen([]);
else void readWhitelist();
