import { describe, expect, it } from "vitest";

import { findHoles } from "trade-canvas-client/holes";
import {
  candlesBetween,
  closeTimeOf,
  latestClosedTime,
  movedTime,
  openTimeAt,
  parseTimeframe,
} from "trade-canvas-client/timeframe";

/** Open times of consecutive candles by the server, which a test of the server holds to it. */
import opens from "./calendar-opens.json";

const candle = (candle_time: number) => ({ candle_time, open: 1, high: 1, low: 1, close: 1, volume: 1 });

describe("candles whose length changes", () => {
  it.each(Object.entries(opens))("of %s open when the server's do", (key, times) => {
    const timeframe = parseTimeframe(key.split(" ")[0] as string);
    times.forEach((open, index) => {
      const [next, before] = [times[index + 1], times[index - 1]];
      expect(openTimeAt(timeframe, open)).toBe(open);
      if (before !== undefined) {
        expect(openTimeAt(timeframe, open - 1)).toBe(before);
        expect(movedTime(timeframe, open, -1)).toBe(before);
        expect(latestClosedTime(timeframe, open)).toBe(before);
      }
      if (next === undefined) return;
      expect(closeTimeOf(timeframe, open)).toBe(next);
      expect(next - open).toBeLessThanOrEqual(timeframe.seconds);
    });
    expect(findHoles(times.map(candle), timeframe)).toEqual([]);
  });

  it("have holes where one is missing", () => {
    const timeframe = parseTimeframe("1M");
    const times = [0, 1, 2, 5].map((month) => Date.UTC(2024, month) / 1000);
    expect(findHoles(times.map(candle), timeframe)).toEqual([
      { from: Date.UTC(2024, 3) / 1000, to: Date.UTC(2024, 5) / 1000, missing: 2 },
    ]);
    expect(candlesBetween(timeframe, Date.UTC(2023, 11) / 1000, Date.UTC(2024, 11) / 1000)).toBe(11);
  });
});
