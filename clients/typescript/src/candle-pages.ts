/** Pages of candles over HTTP, in columns (docs/history-format.md) where the server has them. */

import { parseCandles, type Candle } from "./candle.js";
import { decodeChunk } from "./history-chunk.js";
import { finite, Http, readJson, unreadable } from "./http.js";
import type { CandlePage, CandleQuery } from "./readers.js";

/** JSON is answered where compact history is off. */
const COMPACT = "application/vnd.trade-canvas.candles";
const CANDLES = `${COMPACT}, application/json;q=0.9`;

/** Reads one page. Throws ApiError. */
export async function readCandlePage(
  http: Http,
  seriesId: string,
  query: CandleQuery,
): Promise<CandlePage> {
  const parameters = new URLSearchParams({ series_id: seriesId, limit: String(query.limit) });
  if (query.since != null) parameters.set("since", String(query.since));
  const path = `/api/market/candles?${parameters}`;
  const { body, headers } = await http.read(path, query.signal, CANDLES);
  return {
    ...candlesIn(body, headers),
    serverTimeMs: dateOf(headers),
    epoch: epochOf(headers),
    generation: headers.get("x-series-generation"),
  };
}

/** What a page has besides its headers, in whichever form it came. */
function candlesIn(body: ArrayBuffer, headers: Headers): Pick<CandlePage, "candles" | "serverHead"> {
  if (headers.get("content-type") === COMPACT) {
    const head = headers.get("x-server-head-time");
    return { candles: readColumns(body), serverHead: head === null ? null : finite(Number(head)) };
  }
  const json = readJson(body);
  const candles = parseCandles(json["candles"]);
  if (candles === null) throw unreadable("candles");
  return { candles, serverHead: finite(json["server_head_time"]) };
}

function readColumns(body: ArrayBuffer): Candle[] {
  try {
    return decodeChunk(body);
  } catch {
    throw unreadable("candles");
  }
}

function dateOf(headers: Headers): number | null {
  const time = Date.parse(headers.get("date") ?? "");
  return Number.isNaN(time) ? null : time;
}

function epochOf(headers: Headers): number | null {
  const text = headers.get("x-series-epoch") ?? "";
  return /^\d{1,15}$/.test(text) ? Number(text) : null;
}
