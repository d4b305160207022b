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

  it.each([
    ["Pacific/Apia", "2011-12-29T10:00Z", "2011-12-30T10:00Z"],
    ["Pacific/Fakaofo", "2011-12-29T11:00Z", "2011-12-30T11:00Z"],
    ["Pacific/Kiritimati", "1994-12-30T10:40Z", "1994-12-31T10:00Z"],
    ["Pacific/Kwajalein", "1993-08-20T12:00Z", "1993-08-21T12:00Z"],
  ])("are none at the date that %s left out", (zone, before, after) => {
    const timeframe = parseTimeframe(`1d~${zone}`);
    const [open, later] = [Date.parse(before) / 1000, Date.parse(after) / 1000];
    expect(closeTimeOf(timeframe, open)).toBe(later);
    expect(candlesBetween(timeframe, open, later)).toBe(0);
    const first = movedTime(timeframe, open, -3);
    expect(candlesBetween(timeframe, first, movedTime(timeframe, later, 3))).toBe(6);
    const holes = findHoles([first, movedTime(timeframe, later, 1)].map(candle), timeframe);
    expect(holes).toEqual([expect.objectContaining({ missing: 4 })]);
    const two = parseTimeframe(`2d~${zone}`);
    const [early, late] = [-5, 5].map((by) => movedTime(two, openTimeAt(two, open), by));
    expect(candlesBetween(two, early as number, late as number)).toBe(9);
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
