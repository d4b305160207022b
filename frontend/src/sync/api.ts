/** The page's reads from the HTTP API: every answer is validated. */

import { finite, Http, unreadable, type Fetch, type HttpOptions, type Json } from "trade-canvas-client/http";
import {
  parseCandleHealth,
  parseFactorHealth,
  type CandleHealth,
  type FactorHealth,
} from "trade-canvas-client/health";
import { parseDrawDelta, type DrawDelta } from "trade-canvas-client/instruction";
import { readCandlePage } from "trade-canvas-client/candle-pages";
import { shownLanguage } from "../i18n/words";
import { DRAWN_CANDLES } from "../drawings/drawings";
import { parseCatalog, type Factor } from "../studies/factor-catalog";
import { parseSymbolPage, stepOf, type SymbolPage, type SymbolQuery, type SymbolReader } from "./symbols";
import type { CandlePage, CandleQuery, CandleReader } from "trade-canvas-client/readers";
import type { PriceStep } from "../i18n/format";
import type { AtTimeQuery, DeltaQuery, DrawAnswer, OlderReader, OverlayReader } from "./readers";

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

export class Api extends Http implements CandleReader, OverlayReader, OlderReader, SymbolReader {
  constructor(fetch: Fetch, options: HttpOptions = {}) {
    // Errors are explained in the page's language, which may not be the browser's.
    super(fetch, { language: shownLanguage, ...options });
  }

  candles(seriesId: string, query: CandleQuery): Promise<CandlePage> {
    return readCandlePage(this, seriesId, query);
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

function derivedIn(value: unknown): string[] {
  if (typeof value !== "object" || value === null) return [];
  const { base, timeframes } = value as Record<string, unknown>;
  return textsOf([base, ...(Array.isArray(timeframes) ? timeframes : [])]);
}

function textsOf(values: readonly unknown[]): string[] {
  return values.filter((value): value is string => typeof value === "string");
}
