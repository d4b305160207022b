/** The candle as it travels on the wire: open time in UTC seconds, prices and volume as doubles. */

export interface Candle {
  readonly candle_time: number;
  readonly open: number;
  readonly high: number;
  readonly low: number;
  readonly close: number;
  readonly volume: number;
}

const NUMBER_FIELDS = ["open", "high", "low", "close", "volume"] as const;

/** Validates a received value; null when it is not a candle. */
export function parseCandle(value: unknown): Candle | null {
  if (typeof value !== "object" || value === null) return null;
  const record = value as Record<string, unknown>;
  if (!Number.isSafeInteger(record["candle_time"])) return null;
  if (!NUMBER_FIELDS.every((field) => Number.isFinite(record[field]))) return null;
  return {
    candle_time: record["candle_time"] as number,
    open: record["open"] as number,
    high: record["high"] as number,
    low: record["low"] as number,
    close: record["close"] as number,
    volume: record["volume"] as number,
  };
}

/** All candles of a list, or null when one is malformed: partial pages are rejected. */
export function parseCandles(value: unknown): Candle[] | null {
  if (!Array.isArray(value)) return null;
  const candles: Candle[] = [];
  for (const item of value) {
    const candle = parseCandle(item);
    if (candle === null) return null;
    candles.push(candle);
  }
  return candles;
}

export function sameCandle(left: Candle, right: Candle): boolean {
  return (
    left.candle_time === right.candle_time &&
    NUMBER_FIELDS.every((field) => left[field] === right[field])
  );
}
