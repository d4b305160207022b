/** What the chart must do after a change of the series, as data; `chart.ts` applies it. */

import { lowerBound } from "./candle-list.js";
import type { Candle } from "./candle.js";

export type ChartChange =
  | { readonly kind: "none" }
  /** Candles at or after the last one the chart shows, ascending: cheap updates. */
  | { readonly kind: "update"; readonly candles: readonly Candle[] }
  | { readonly kind: "replace" };

export interface Shown {
  readonly candles: readonly Candle[];
  readonly forming: Candle | null;
}

export const NO_CHANGE: ChartChange = { kind: "none" };
export const REPLACE: ChartChange = { kind: "replace" };

// Beyond this many, setting all data once is cheaper than updating one by one.
const MOST_UPDATES = 50;

/**
 * The change from one list of drawn candles to the next. `changedFrom` is the lowest time at which
 * a closed candle was inserted, replaced or removed; null when none was.
 */
export function chartChange(before: Shown, after: Shown, changedFrom: number | null): ChartChange {
  const formingChange = changeOfForming(before.forming, after);
  const from = lowest(changedFrom, formingChange);
  if (from === null) return NO_CHANGE;
  const lastShown = (before.forming ?? before.candles.at(-1))?.candle_time;
  if (lastShown === undefined || from < lastShown) return REPLACE;
  const candles = shownFrom(after, from);
  const keepsLast = candles[0]?.candle_time === lastShown || stillShown(after, lastShown);
  return keepsLast && candles.length <= MOST_UPDATES ? { kind: "update", candles } : REPLACE;
}

/** Time at which the forming candle appeared, changed or vanished; null when it did not change. */
function changeOfForming(before: Candle | null, after: Shown): number | null {
  if (before === after.forming) return null;
  return lowest(before?.candle_time ?? null, after.forming?.candle_time ?? null);
}

function shownFrom(shown: Shown, time: number): Candle[] {
  const closed = shown.candles.slice(lowerBound(shown.candles, time));
  return shown.forming === null ? closed : [...closed, shown.forming];
}

function stillShown(shown: Shown, time: number): boolean {
  const closed = shown.candles[lowerBound(shown.candles, time)];
  return closed?.candle_time === time || shown.forming?.candle_time === time;
}

function lowest(left: number | null, right: number | null): number | null {
  if (left === null) return right;
  return right === null ? left : Math.min(left, right);
}
