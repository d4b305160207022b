/**
 * Requests the candles of the series to open while the page's own script is still loading, and sets
 * the colours.
 *
 * The build puts it into the page itself, so it imports nothing.
 */

import type { EarlyAnswer } from "./sync/early-answer";

declare global {
  interface Window {
    early?: EarlyAnswer;
  }
}

/** Where `SettingsStore` keeps the settings, and the series that was open last. */
const SETTINGS = "trade_canvas.settings";
/** Where `KeptChunks` notes what the browser keeps of each series. */
const HISTORY = "trade_canvas.history";

/** As `Api` asks for candles. */
const ACCEPT = "application/vnd.trade-canvas.candles, application/json;q=0.9";

const SERIES = /^[^:]+:[^:]+:.+:[1-9][0-9]*[smhdw]$/;

interface Settings {
  readonly series: unknown;
  readonly theme: unknown;
  readonly redUp: unknown;
}

/** A stored record; empty when it is not readable, or not written by the page. */
function stored<Wanted>(key: string): Partial<Wanted> {
  try {
    const value: unknown = JSON.parse(window.localStorage.getItem(key) ?? "null");
    return (value as Partial<Wanted> | null) ?? {};
  } catch {
    return {};
  }
}

/** Where the chunk ends that the browser keeps of the series. */
function keptSince(series: string): number | null {
  const note = stored<Record<string, { since: number; until: number }>>(HISTORY)[series];
  return note !== undefined && Date.now() < note.until ? note.since : null;
}

const settings = stored<Settings>(SETTINGS);
const series = new URLSearchParams(window.location.search).get("series") ?? settings.series;
// A link that names no series is explained by the page, without asking the server.
if (typeof series === "string" && SERIES.test(series)) {
  const since = keptSince(series);
  const query = new URLSearchParams({ series_id: series, limit: since === null ? "2000" : "5000" });
  if (since !== null) query.set("since", String(since));
  const path = `/api/market/candles?${query}`;
  const answer = window
    .fetch(new URL(`.${path}`, window.location.href), {
      cache: "no-cache",
      headers: { Accept: ACCEPT },
    })
    .then(async (response) => ({ response, body: await response.arrayBuffer() }));
  // The failure is dealt with where the answer is used.
  answer.catch(() => undefined);
  window.early = { path, answer };
}

// As followAppearance does later: the first paint has the user's colours already.
const { matches: systemIsLight } = window.matchMedia("(prefers-color-scheme: light)");
const isLight = settings.theme === "light" || (settings.theme !== "dark" && systemIsLight);
const { dataset } = document.documentElement;
dataset["theme"] = isLight ? "light" : "dark";
dataset["rising"] = settings.redUp === true ? "red" : "green";
