/** Timeframes such as `1m` or `4h`: their length and the grid their candles open on. */

export interface Timeframe {
  readonly text: string;
  readonly seconds: number;
  /** A time, in UTC seconds, at which a candle of this timeframe opens. */
  readonly origin: number;
}

export const STANDARD_TIMEFRAMES = ["1m", "5m", "15m", "1h", "4h", "1d"] as const;

const UNIT_SECONDS: Readonly<Record<string, number>> = {
  s: 1,
  m: 60,
  h: 3600,
  d: 86400,
  w: 604800,
};

// The epoch was a Thursday; weeks open on Monday 00:00 UTC.
const FIRST_MONDAY = 4 * 86400;

/** `1d~16h` is days that open at 16:00 UTC. */
const GRID_MARK = "~";

/** Throws when the text is not a timeframe. */
export function parseTimeframe(text: string): Timeframe {
  const [length = "", ...shifts] = text.trim().split(GRID_MARK);
  const seconds = secondsOf(length);
  const shift = shifts.length === 0 ? 0 : secondsOf(shifts.join(GRID_MARK));
  if (seconds === null || shift === null) throw new Error(`invalid timeframe: '${text}'`);
  const monday = length.endsWith("w") ? FIRST_MONDAY : 0;
  return { text: text.trim(), seconds, origin: (monday + shift) % seconds };
}

function secondsOf(length: string): number | null {
  const match = /^([0-9]+)([smhdw])$/.exec(length);
  const count = Number(match?.[1]);
  const unitSeconds = UNIT_SECONDS[match?.[2] ?? ""];
  if (unitSeconds === undefined || !Number.isSafeInteger(count) || count <= 0) return null;
  return count * unitSeconds;
}

/** Open time of the candle that covers `now` (UTC seconds). */
export function openTimeAt(timeframe: Timeframe, now: number): number {
  const steps = Math.floor((now - timeframe.origin) / timeframe.seconds);
  return steps * timeframe.seconds + timeframe.origin;
}

/** Open time of the newest candle that is closed at `now` (UTC seconds); never below 0. */
export function latestClosedTime(timeframe: Timeframe, now: number): number {
  return Math.max(0, openTimeAt(timeframe, now) - timeframe.seconds);
}

/** The standard timeframes and the extra ones, shortest first, each once; invalid ones skipped. */
export function offeredTimeframes(extra: readonly string[]): string[] {
  const lengths = new Map<string, number>();
  for (const text of [...STANDARD_TIMEFRAMES, ...extra]) {
    try {
      lengths.set(text, parseTimeframe(text).seconds);
    } catch {
      // A series that can not be parsed is not offered.
    }
  }
  return [...lengths].sort((left, right) => left[1] - right[1]).map(([text]) => text);
}
