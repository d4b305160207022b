import { describe, expect, it } from "vitest";

import { parseTimeframe } from "trade-canvas-client/timeframe";
import { Axis } from "../src/drawings/axis";

const candle = (candle_time: number) => ({ candle_time, open: 1, high: 1, low: 1, close: 1, volume: 1 });
const month = (number: number): number => Date.UTC(2024, number) / 1000;

describe("positions of times", () => {
  it("outside the candles count months of any length", () => {
    const timeframe = parseTimeframe("1M");
    const candles = [0, 1, 2].map((number) => candle(month(number)));
    const axis = new Axis({ candles, forming: null, step: timeframe.seconds, timeframe });
    expect([-2, -1, 0, 2, 3, 14].map((number) => axis.indexOf(month(number)))).toEqual([
      -2, -1, 0, 2, 3, 14,
    ]);
    expect(axis.indexOf((month(3) + month(4)) / 2)).toBe(3.5);
  });

  it("outside the candles are a matter of seconds on a grid", () => {
    const candles = [60, 120].map(candle);
    const axis = new Axis({ candles, forming: null, step: 60, timeframe: parseTimeframe("1m") });
    expect([30, 60, 150, 300].map((time) => axis.indexOf(time))).toEqual([-0.5, 0, 1.5, 4]);
  });
});
