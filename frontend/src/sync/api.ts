/** Typed client of the HTTP API: every call has a time limit, every answer is validated. */

import { shownLanguage, t } from "../i18n/words";
import { parseCandles, type Candle } from "./candle";
import { decodeChunk } from "./history-chunk";
import { DRAWN_CANDLES } from "../drawings/drawings";
import { parseCatalog, type Factor } from "../studies/factor-catalog";
import {
  parseCandleHealth,
  parseFactorHealth,
  type CandleHealth,
  type FactorHealth,
} from "./health";
import { parseDrawDelta, type DrawDelta } from "../drawings/instruction";
import { parseSymbolPage, stepOf, type SymbolPage, type SymbolQuery, type SymbolReader } from "./symbols";
import type { Answer } from "./early-answer";
import type { PriceStep } from "../i18n/format";
import type {
  AtTimeQuery,
  CandlePage,
  CandleQuery,
  CandleReader,
  DeltaQuery,
  DrawAnswer,
  OlderReader,
  OverlayReader,
} from "./readers";

export interface TopMarket {
  readonly symbol: string;
  readonly lastPrice: number | null;
  readonly quoteVolume: number | null;
  readonly changePercent: number | null;
  readonly step: PriceStep;
}

export interface Whitelist {
  readonly series: readonly string[];
  /** The base timeframe and those that the server makes of it; nothing where it makes none. */
  readonly derived: readonly string[];
}

/** A failed request; `status` is 0 without an answer (`code` is then `network` or `timeout`). */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, detail: string) {
    super(detail);
    this.name = "ApiError";
    this.status = status;
    this.code = code;
  }

  /** Whether a retry may succeed. */
  get transient(): boolean {
    return this.status === 0 || this.status === 408 || this.status === 429 || this.status >= 500;
  }
}

const TIMEOUT_MS = 15_000;

/** Candles in columns (docs/history-format.md); JSON is answered where compact history is off. */
const COMPACT = "application/vnd.trade-canvas.candles";
const CANDLES = `${COMPACT}, application/json;q=0.9`;

type Fetch = (input: string, init: RequestInit) => Promise<Answer>;
type Json = Record<string, unknown>;

interface Read<Body> {
  readonly body: Body;
  readonly headers: Headers;
}

export class Api implements CandleReader, OverlayReader, OlderReader, SymbolReader {
  private readonly fetch: Fetch;
  private readonly timeoutMs: number;

  constructor(fetch: Fetch, timeoutMs = TIMEOUT_MS) {
    this.fetch = fetch;
    this.timeoutMs = timeoutMs;
  }

  async candles(seriesId: string, query: CandleQuery): Promise<CandlePage> {
    const parameters = new URLSearchParams({ series_id: seriesId, limit: String(query.limit) });
    if (query.since != null) parameters.set("since", String(query.since));
    const path = `/api/market/candles?${parameters}`;
    const { body, headers } = await this.read(path, query.signal, CANDLES);
    return {
      ...candlesIn(body, headers),
      serverTimeMs: dateOf(headers),
      epoch: epochOf(headers),
      generation: headers.get("x-series-generation"),
    };
  }

  async whitelist(signal?: AbortSignal): Promise<Whitelist> {
    const { body } = await this.get("/api/market/whitelist", signal);
    const ids = body["series_ids"];
    if (!Array.isArray(ids)) throw unreadable("whitelist");
    return { series: textsOf(ids), derived: derivedIn(body["derived"]) };
  }

  async symbols(asked: SymbolQuery, signal?: AbortSignal): Promise<SymbolPage> {
    const parameters = new URLSearchParams();
    for (const [name, value] of Object.entries(asked)) {
      if (value !== undefined) parameters.set(name, String(value));
    }
    const page = parseSymbolPage((await this.get(`/api/market/symbols?${parameters}`, signal)).body);
    if (page === null) throw unreadable("symbols");
    return page;
  }

  async topMarkets(exchange: string, market: string, signal?: AbortSignal): Promise<TopMarket[]> {
    const query = topMarketsQuery(exchange, market);
    const { body } = await this.get(`/api/market/top_markets?${query}`, signal);
    return readTopMarkets(body);
  }

  async factorCatalog(signal?: AbortSignal): Promise<Factor[]> {
    const catalog = parseCatalog((await this.get("/api/factor/catalog", signal)).body);
    if (catalog === null) throw unreadable("factor catalog");
    return catalog;
  }

  async liveFrame(seriesId: string, signal: AbortSignal): Promise<DrawAnswer> {
    const query = drawnQuery(seriesId);
    query.set("factor_slices", "false");
    const { body, headers } = await this.get(`/api/frame/live?${query}`, signal);
    const delta = readDelta(body["draw_state"]);
    const cursor = Number(headers.get("x-draw-cursor") ?? delta.cursor);
    return { ...delta, cursor, generation: headers.get("x-series-generation") };
  }

  async drawingsAt(seriesId: string, { atTime, signal }: AtTimeQuery): Promise<DrawDelta> {
    const query = drawnQuery(seriesId);
    query.set("at_time", String(atTime));
    return readDelta((await this.get(`/api/draw/delta?${query}`, signal)).body);
  }

  async candleHealth(seriesId: string, signal: AbortSignal): Promise<CandleHealth> {
    const query = new URLSearchParams({ series_id: seriesId });
    const health = parseCandleHealth((await this.get(`/api/market/health?${query}`, signal)).body);
    if (health === null) throw unreadable("health");
    return health;
  }

  async factorHealth(seriesId: string, signal: AbortSignal): Promise<FactorHealth> {
    const query = new URLSearchParams({ series_id: seriesId });
    const health = parseFactorHealth((await this.get(`/api/factor/health?${query}`, signal)).body);
    if (health === null) throw unreadable("health");
    return health;
  }

  async pollDelta(
    seriesId: string,
    { afterId, signal }: DeltaQuery,
  ): Promise<DrawAnswer | null> {
    const query = drawnQuery(seriesId);
    query.set("after_id", String(afterId));
    query.set("factor_slices", "false");
    const { body, headers } = await this.get(`/api/delta/poll?${query}`, signal);
    const { records, next_cursor: next } = body;
    if (!Array.isArray(records)) throw unreadable("drawings");
    const record = records.at(-1) as Json | undefined;
    if (record === undefined) return null;
    const cursor = finite((next as Json | null)?.["id"]);
    if (cursor === null) throw unreadable("drawings");
    const generation = headers.get("x-series-generation");
    return { ...readDelta(record["draw_delta"]), cursor, generation };
  }

  private async get(path: string, signal?: AbortSignal): Promise<Read<Json>> {
    const { body, headers } = await this.read(path, signal);
    return { body: readJson(body), headers };
  }

  /** The body of an answer; an error answer is thrown as ApiError. */
  private async read(
    path: string,
    signal?: AbortSignal,
    accept = "*/*",
  ): Promise<Read<ArrayBuffer>> {
    const limit = AbortSignal.timeout(this.timeoutMs);
    const signals = signal ? AbortSignal.any([signal, limit]) : limit;
    try {
      // "no-cache" revalidates: the server answers 304 when nothing changed.
      // Errors are explained in the page's language, which may not be the browser's.
      const headers = { Accept: accept, "Accept-Language": shownLanguage() };
      const response = await this.fetch(path, { signal: signals, cache: "no-cache", headers });
      const body = await response.arrayBuffer();
      if (!response.ok) throw errorOf(response.status, jsonIn(body) ?? {});
      return { body, headers: response.headers };
    } catch (error) {
      if (error instanceof ApiError || signal?.aborted) throw error;
      if (limit.aborted) throw new ApiError(0, "timeout", t("The server did not answer in time."));
      throw new ApiError(0, "network", t("The server can not be reached."));
    }
  }
}

/** Query of the ranking of top markets, and of its stream. */
export function topMarketsQuery(exchange: string, market: string): URLSearchParams {
  return new URLSearchParams({ exchange, market, quote_asset: "USDT", limit: "20", ticks: "1" });
}

/** The markets of a ranking; throws ApiError for any other value. */
export function readTopMarkets(body: unknown): TopMarket[] {
  const items = (body as Json | null)?.["items"];
  if (!Array.isArray(items)) throw unreadable("top markets");
  return items.flatMap((item) => readTopMarket(item as Json));
}

function drawnQuery(seriesId: string): URLSearchParams {
  return new URLSearchParams({ series_id: seriesId, window_candles: String(DRAWN_CANDLES) });
}

function readDelta(value: unknown): DrawDelta {
  const delta = parseDrawDelta(value);
  if (delta === null) throw unreadable("drawings");
  return delta;
}

/** Any failure as an ApiError. */
export function asApiError(error: unknown): ApiError {
  return error instanceof ApiError ? error : new ApiError(0, "unknown", String(error));
}

/** An object; null for anything else, as a proxy's error page. */
function jsonIn(body: ArrayBuffer): Json | null {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(body));
    return typeof value === "object" ? (value as Json | null) : null;
  } catch {
    return null;
  }
}

function readJson(body: ArrayBuffer): Json {
  const value = jsonIn(body);
  if (value === null) throw unreadable("answer");
  return value;
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

function errorOf(status: number, body: Json): ApiError {
  const detail = body["detail"];
  const code = typeof body["code"] === "string" ? body["code"] : `http_${status}`;
  return new ApiError(
    status,
    code,
    typeof detail === "string" ? detail : firstMessage(detail, status),
  );
}

/** The first message of a list of validation errors. */
function firstMessage(detail: unknown, status: number): string {
  const first: unknown = Array.isArray(detail) ? detail[0] : null;
  const message = (first as Json | null)?.["msg"];
  return typeof message === "string" ? message : `The server answered ${status}.`;
}

function unreadable(what: string): ApiError {
  return new ApiError(502, "unreadable_answer", `The server's ${what} could not be read.`);
}

function dateOf(headers: Headers): number | null {
  const time = Date.parse(headers.get("date") ?? "");
  return Number.isNaN(time) ? null : time;
}

function epochOf(headers: Headers): number | null {
  const text = headers.get("x-series-epoch") ?? "";
  return /^\d{1,15}$/.test(text) ? Number(text) : null;
}

function readTopMarket(item: Json): TopMarket[] {
  if (typeof item["symbol"] !== "string") return [];
  return [
    {
      symbol: item["symbol"],
      lastPrice: finite(item["last_price"]),
      quoteVolume: finite(item["quote_volume"]),
      changePercent: finite(item["price_change_percent"]),
      step: stepOf(item),
    },
  ];
}

function finite(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

function derivedIn(value: unknown): string[] {
  if (typeof value !== "object" || value === null) return [];
  const { base, timeframes } = value as Record<string, unknown>;
  return textsOf([base, ...(Array.isArray(timeframes) ? timeframes : [])]);
}

function textsOf(values: readonly unknown[]): string[] {
  return values.filter((value): value is string => typeof value === "string");
}
