/** Messages of `/ws/market`: the server's, validated, and the page's own. */

import { parseDrawChange, type DrawChange } from "./instruction.js";
import { parseCandle, parseCandles, type Candle } from "./candle.js";
import {
  parseCandleHealth,
  parseFactorHealth,
  parsePartial,
  type CandleHealth,
  type FactorHealth,
  type PartialCandle,
} from "./health.js";

/** What the server sends beside candles to those who ask for it. */
export type PushedMessage =
  | {
      readonly type: "draw_cursor";
      readonly series_id: string;
      /** Null: the drawings are behind the candles. */
      readonly cursor: number | null;
      readonly generation: string | null;
    }
  | {
      readonly type: "draw_delta";
      readonly series_id: string;
      readonly change: DrawChange;
      readonly generation: string | null;
    }
  | {
      readonly type: "health";
      readonly series_id: string;
      /** Null: the server does not report it. */
      readonly candles: CandleHealth | null;
      readonly factors: FactorHealth | null;
      /** The newest candles of a derived series that lack some of their base. */
      readonly partial: readonly PartialCandle[];
    };

export type ServerMessage =
  | PushedMessage
  | { readonly type: "candle_closed"; readonly series_id: string; readonly candle: Candle }
  | { readonly type: "candle_forming"; readonly series_id: string; readonly candle: Candle }
  | {
      readonly type: "candles_batch";
      readonly series_id: string;
      readonly candles: readonly Candle[];
    }
  | {
      readonly type: "gap";
      readonly series_id: string;
      readonly expected_next_time: number;
      readonly actual_time: number;
    }
  | {
      readonly type: "revised";
      readonly series_id: string;
      readonly from_time: number;
      readonly epoch: number | null;
    }
  | { readonly type: "rebuilt"; readonly series_id: string; readonly message: string }
  | {
      readonly type: "error";
      readonly series_id: string | null;
      readonly code: string;
      readonly message: string;
    };

/** The message, or null if it is unknown or malformed: newer servers may send more types. */
export function parseServerMessage(text: unknown): ServerMessage | null {
  if (typeof text !== "string") return null;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof value !== "object" || value === null) return null;
  return readMessage(value as Record<string, unknown>);
}

function readMessage(value: Record<string, unknown>): ServerMessage | null {
  if (value["type"] === "error") return readError(value);
  const series_id = value["series_id"];
  if (typeof series_id !== "string") return null;
  switch (value["type"]) {
    case "candle_closed":
    case "candle_forming": {
      const candle = parseCandle(value["candle"]);
      return candle && { type: value["type"], series_id, candle };
    }
    case "candles_batch": {
      const candles = parseCandles(value["candles"]);
      return candles && { type: "candles_batch", series_id, candles };
    }
    case "gap":
      return readGap(value, series_id);
    case "system":
      return readSystem(value, series_id);
    case "draw_cursor":
    case "draw_delta":
    case "health":
      return readPushed(value, series_id);
    default:
      return null;
  }
}

function readError(value: Record<string, unknown>): ServerMessage {
  const series = value["series_id"];
  return {
    type: "error",
    series_id: typeof series === "string" ? series : null,
    code: String(value["code"] ?? "unknown"),
    message: String(value["message"] ?? ""),
  };
}

function readGap(value: Record<string, unknown>, series_id: string): ServerMessage | null {
  const expected = value["expected_next_time"];
  const actual = value["actual_time"];
  if (!Number.isSafeInteger(expected) || !Number.isSafeInteger(actual)) return null;
  return {
    type: "gap",
    series_id,
    expected_next_time: expected as number,
    actual_time: actual as number,
  };
}

function readPushed(
  value: Record<string, unknown>,
  series_id: string,
): PushedMessage | null {
  const generation = typeof value["generation"] === "string" ? value["generation"] : null;
  if (value["type"] === "draw_cursor") {
    const { cursor } = value;
    if (cursor !== null && !Number.isSafeInteger(cursor)) return null;
    return { type: "draw_cursor", series_id, cursor: cursor as number | null, generation };
  }
  if (value["type"] === "draw_delta") {
    const change = parseDrawChange(value);
    return change && { type: "draw_delta", series_id, change, generation };
  }
  const { market, factor } = value as Record<string, Record<string, unknown> | null | undefined>;
  const candles = market ? parseCandleHealth(market) : null;
  const factors = factor ? parseFactorHealth(factor) : null;
  const partial = parsePartial(value["partial"]);
  return { type: "health", series_id, candles, factors, partial };
}

function readSystem(value: Record<string, unknown>, series_id: string): ServerMessage | null {
  if (value["event"] === "factor.rebuild") {
    return { type: "rebuilt", series_id, message: String(value["message"] ?? "") };
  }
  if (value["event"] !== "candle.revised") return null;
  const data = value["data"] as Record<string, unknown> | null | undefined;
  const from_time = data?.["from_time"];
  if (!Number.isSafeInteger(from_time)) return null;
  const epoch = Number.isSafeInteger(data?.["epoch"]) ? (data?.["epoch"] as number) : null;
  return { type: "revised", series_id, from_time: from_time as number, epoch };
}

/** What the subscriber has: the server sends what came after, and what was revised since. */
export interface Resume {
  /** Exclusive; the time of a closed candle, never of a forming one. */
  readonly since: number | null;
  /** The oldest epoch among the candles; null when unknown. */
  readonly epoch: number | null;
  /** The generation of the candles; null when unknown. */
  readonly generation: string | null;
  /** The cursor of the drawings, 0 without any; null: not wanted. */
  readonly drawings: number | null;
}

export function subscribeMessage(seriesId: string, resume: Resume): string {
  const { since, epoch, generation, drawings } = resume;
  const message = { type: "subscribe", series_id: seriesId, since, supports_batch: true };
  return JSON.stringify({
    ...message,
    ...(epoch === null ? {} : { epoch }),
    ...(generation === null ? {} : { generation }),
    ...(drawings === null ? {} : { drawings }),
  });
}
