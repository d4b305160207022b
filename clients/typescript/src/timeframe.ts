/** Timeframes such as `1m` or `4h`: their length and the grid their candles open on. */

import { calendarOf, type Calendar } from "./calendar.js";

export interface Timeframe {
  readonly text: string;
  /** With a calendar those of the longest candle. Neighbours further apart have a gap between. */
  readonly seconds: number;
  /** Of months (`1M`), and of days and weeks of a zone (`1d~America/New_York`). */
  readonly calendar?: Calendar;
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
  const calendar = calendarNamed(length, shifts);
  if (calendar !== null) {
    return { text: text.trim(), seconds: calendar.longest, origin: 0, calendar };
  }
  const seconds = secondsOf(length);
  const shift = shifts.length === 0 ? 0 : secondsOf(shifts.join(GRID_MARK));
  if (seconds === null || shift === null) throw new Error(`invalid timeframe: '${text}'`);
  const monday = length.endsWith("w") ? FIRST_MONDAY : 0;
  return { text: text.trim(), seconds, origin: (monday + shift) % seconds };
}

/** Null for a timeframe that has none, or none that is possible. */
function calendarNamed(length: string, shifts: readonly string[]): Calendar | null {
  const [zone = null] = shifts;
  const isZoned = zone !== null && /^[A-Za-z]/.test(zone);
  if (shifts.length > 1 || !(isZoned || (length.endsWith("M") && zone === null))) return null;
  const match = /^([0-9]+)([dwM])$/.exec(length);
  if (match === null) return null;
  try {
    return calendarOf(Number(match[1]), match[2] as string, zone);
  } catch {
    return null; // This browser does not know the zone.
  }
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
  const { calendar } = timeframe;
  if (calendar !== undefined) return calendar.openOf(calendar.numberOf(now));
  const steps = Math.floor((now - timeframe.origin) / timeframe.seconds);
  return steps * timeframe.seconds + timeframe.origin;
}

/** Open time of the candle `by` candles after the one that opens at `open`. */
export function movedTime(timeframe: Timeframe, open: number, by: number): number {
  const { calendar } = timeframe;
  if (calendar === undefined) return open + by * timeframe.seconds;
  const from = calendar.numberOf(open);
  let [number, moved] = [from + by, calendar.openOf(from + by)];
  // A date that was left out has no candle: it begins with the next one.
  const step = Math.sign(by);
  while (step !== 0 && moved === calendar.openOf(step > 0 ? number - 1 : number + 1)) {
    number += step;
    moved = calendar.openOf(number);
  }
  return moved;
}

/** When the candle that opens at `open` closes. */
export function closeTimeOf(timeframe: Timeframe, open: number): number {
  return movedTime(timeframe, open, 1);
}

/** How many candles lie between two open times. */
export function candlesBetween(timeframe: Timeframe, open: number, later: number): number {
  const { calendar, seconds } = timeframe;
  if (calendar !== undefined) return calendar.steps(open, later) - 1;
  return Math.ceil((later - open) / seconds) - 1;
}

/** Open time of the newest candle that is closed at `now` (UTC seconds); never below 0. */
export function latestClosedTime(timeframe: Timeframe, now: number): number {
  return Math.max(0, movedTime(timeframe, openTimeAt(timeframe, now), -1));
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
