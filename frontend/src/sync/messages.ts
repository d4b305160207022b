/** Messages of `/ws/market`: the server's, validated, and the page's own. */

import { parseCandle, parseCandles, type Candle } from "./candle";

export type ServerMessage =
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
}

export function subscribeMessage(seriesId: string, resume: Resume): string {
  const { since, epoch, generation } = resume;
  const message = { type: "subscribe", series_id: seriesId, since, supports_batch: true };
  return JSON.stringify({
    ...message,
    ...(epoch === null ? {} : { epoch }),
    ...(generation === null ? {} : { generation }),
  });
}
