/**
 * Requests the candles of the series to open while the page's own script is still loading.
 *
 * The build puts it into the page itself, so it imports nothing.
 */

import type { EarlyAnswer } from "./sync/early-answer";

declare global {
  interface Window {
    early?: EarlyAnswer;
  }
}

/** Where `SettingsStore` keeps the series that was open last. */
const STORAGE_KEY = "trade_canvas.settings";

const SERIES = /^[^:]+:[^:]+:.+:[1-9][0-9]*[smhdw]$/;

function seriesToOpen(): unknown {
  const linked = new URLSearchParams(window.location.search).get("series");
  if (linked !== null) return linked;
  try {
    const stored: unknown = JSON.parse(window.localStorage.getItem(STORAGE_KEY) ?? "null");
    return (stored as { series?: unknown } | null)?.series;
  } catch {
    return null; // Not readable, or not written by the page.
  }
}

/** Where the chunk ends that the browser keeps of the series, as `KeptChunks` has noted it. */
function keptSince(series: string): number | null {
  try {
    const notes: unknown = JSON.parse(window.localStorage.getItem("trade_canvas.history") ?? "{}");
    const note = (notes as Record<string, { since: number; until: number }> | null)?.[series];
    return note !== undefined && Date.now() < note.until ? note.since : null;
  } catch {
    return null;
  }
}

const series = seriesToOpen();
// A link that names no series is explained by the page, without asking the server.
if (typeof series === "string" && SERIES.test(series)) {
  const since = keptSince(series);
  const query = new URLSearchParams({ series_id: series, limit: since === null ? "2000" : "5000" });
  if (since !== null) query.set("since", String(since));
  const path = `/api/market/candles?${query}`;
  const answer = window
    .fetch(new URL(`.${path}`, window.location.href), { cache: "no-cache" })
    .then(async (response) => ({ response, text: await response.text() }));
  // The failure is dealt with where the answer is used.
  answer.catch(() => undefined);
  window.early = { path, answer };
}
