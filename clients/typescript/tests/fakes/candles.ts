/** Builders of candles. */

import type { Candle } from "../../src/candle.js";

export function candle(time: number, close = 100): Candle {
  return { candle_time: time, open: close, high: close + 1, low: close - 1, close, volume: 1 };
}

/** `count` candles from `first` on, `step` seconds apart. */
export function candles(first: number, count: number, step = 60): Candle[] {
  return Array.from({ length: count }, (_, index) => candle(first + index * step));
}

export const timesOf = (list: readonly Candle[]): number[] => list.map((item) => item.candle_time);

/** A small seeded generator (mulberry32): the same numbers on every machine. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
