/** Merging of candle lists by time; the result is always strictly ascending. */

import { firstNot } from "./bisect.js";
import { sameCandle, type Candle } from "./candle.js";

export interface Merge {
  readonly candles: readonly Candle[];
  /** Lowest time that was inserted or whose values changed; null when nothing changed. */
  readonly changedFrom: number | null;
}

/** Inserts missing candles and replaces those of the same time; later items of `incoming` win. */
export function mergeCandles(current: readonly Candle[], incoming: readonly Candle[]): Merge {
  const arrivals = ascendingUnique(incoming);
  const first = arrivals[0];
  if (first === undefined) return { candles: current, changedFrom: null };
  const last = current.at(-1);
  if (last === undefined || first.candle_time > last.candle_time) {
    return { candles: current.concat(arrivals), changedFrom: first.candle_time };
  }
  const start = lowerBound(current, first.candle_time);
  const merged: Candle[] = current.slice(0, start);
  let changedFrom: number | null = null;
  let index = start;
  for (const arrival of arrivals) {
    for (let held = current[index]; held && held.candle_time < arrival.candle_time;) {
      merged.push(held);
      index += 1;
      held = current[index];
    }
    const held = current[index];
    const replaces = held !== undefined && held.candle_time === arrival.candle_time;
    if (replaces) index += 1;
    const unchanged = replaces && sameCandle(held, arrival);
    merged.push(unchanged ? held : arrival);
    if (!unchanged) changedFrom ??= arrival.candle_time;
  }
  if (changedFrom === null) return { candles: current, changedFrom };
  return { candles: merged.concat(current.slice(index)), changedFrom };
}

/** Index of the first candle at or after `time`; the list's length when there is none. */
export function lowerBound(candles: readonly Candle[], time: number): number {
  return firstNot(candles, (candle) => candle.candle_time < time);
}

/** Whether the times are strictly ascending. */
export function strictlyAscending(times: readonly number[]): boolean {
  return times.every((time, index) => index === 0 || time > (times[index - 1] as number));
}

function ascendingUnique(candles: readonly Candle[]): readonly Candle[] {
  if (strictlyAscending(candles.map((candle) => candle.candle_time))) return candles;
  const byTime = new Map(candles.map((candle) => [candle.candle_time, candle]));
  return [...byTime.values()].sort((left, right) => left.candle_time - right.candle_time);
}
