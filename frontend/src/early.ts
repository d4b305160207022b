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

const series = seriesToOpen();
// A link that names no series is explained by the page, without asking the server.
if (typeof series === "string" && SERIES.test(series)) {
  const path = `/api/market/candles?${new URLSearchParams({ series_id: series, limit: "2000" })}`;
  const answer = window
    .fetch(new URL(`.${path}`, window.location.href), { cache: "no-cache" })
    .then(async (response) => ({ response, text: await response.text() }));
  // The failure is dealt with where the answer is used.
  answer.catch(() => undefined);
  window.early = { path, answer };
}
