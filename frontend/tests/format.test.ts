import { describe, expect, it } from "vitest";

import { UTC, zoneNamed } from "../src/i18n/zone";
import {
  axisBase,
  formatCountdown,
  formatDateTime,
  formatDuration,
  formatOpenTime,
  formatPercent,
  formatPrice,
  formatVolume,
  priceUnit,
  tickUnit,
} from "../src/i18n/format";

describe("priceUnit", () => {
  it.each([
    [[42000.5, 42001.25], 2],
    [[42000.123456], 2],
    [[100, 101], 2],
    [[5.1234], 4],
    [[0.08123], 5],
    [[0.00000812], 8],
    [[0.1 + 0.2], 2],
    [[], 2],
    [[0, Number.NaN], 2],
  ])("is guessed from %j as %i decimals while the tick is not known", (sample, decimals) =>
    expect(priceUnit(null, sample)).toEqual({ tick: Number(`1e-${decimals}`), decimals }),
  );

  it.each([
    [0.5, 1],
    [0.25, 2],
    [10, 0],
    [1, 0],
    [0.01, 2],
    [0.00000001, 8],
    [0.0000005, 7],
    [1e-10, 10],
    [2.5, 1],
    [1e21, 0],
  ])("of the tick %d has %i decimals", (tick, decimals) =>
    expect(priceUnit({ tick, digits: null }, [1])).toEqual({ tick, decimals }),
  );

  it.each([
    [5, [64000], 1, 0],
    [5, [0.012345], 0.000001, 6],
    [5, [1234567], 100, 0],
    [5, [10001, 9999.5], 0.1, 1],
  ])("of %i significant digits fits %j", (digits, sample, tick, decimals) =>
    expect(priceUnit({ tick: null, digits }, sample)).toEqual({ tick, decimals }),
  );
});

describe("formatPrice", () => {
  it("writes what the browser's own format writes", () => {
    for (let decimals = 0; decimals <= 20; decimals++) {
      const digits = { minimumFractionDigits: decimals, maximumFractionDigits: decimals };
      const format = new Intl.NumberFormat("en-US", digits);
      for (let power = -8; power <= 21; power++) {
        for (const figure of [1, -1.5, 9.995, 2.5, -7.123456789012345]) {
          const tick = Number(`1e-${decimals}`);
          const price = Math.round((figure * 10 ** power) / tick) * tick;
          expect(formatPrice(price, { tick, decimals })).toBe(format.format(price + 0));
        }
      }
    }
  });

  it.each([
    [64000.5, 0.5, "64,000.5"],
    [64000, 0.5, "64,000.0"],
    [64000.3, 0.5, "64,000.5"],
    [100.25, 0.25, "100.25"],
    [100.3, 0.25, "100.25"],
    [64003, 10, "64,000"],
    [64006, 10, "64,010"],
    [0.00000812, 0.00000001, "0.00000812"],
    [0.1 + 0.2, 0.1, "0.3"],
    [1.005, 0.01, "1.00"],
    [-0.001, 0.01, "0.00"],
    [-5.5, 0.5, "-5.5"],
    [1e15, 0.01, "1,000,000,000,000,000.00"],
  ])("writes %d by the tick %d as %s", (price, tick, text) =>
    expect(formatPrice(price, tickUnit(tick))).toBe(text),
  );
});

describe("axisBase", () => {
  // The library throws for a base that is not a product of 2 and 5, and for 0.
  it.each([
    [0.5, 2],
    [0.25, 4],
    [0.01, 100],
    [0.00000001, 1e8],
    [0.05, 20],
    [0.3, 10],
    [0.75, 100],
    [1, 1],
    [10, 1],
    [2.5, 10],
  ])("of the tick %d is %d", (tick, base) => expect(axisBase(tickUnit(tick))).toBe(base));
});

describe("numbers", () => {
  it.each([
    [0, "0"],
    [0.12345, "0.1235"],
    [12.345, "12.35"],
    [1234, "1.23K"],
    [1_234_567, "1.23M"],
    [1_200_000_000, "1.2B"],
    [3.5e12, "3.5T"],
    [999_900, "999.9K"],
  ])("shorten the volume %d to %s", (volume, text) => expect(formatVolume(volume)).toBe(text));

  it("give changes a sign, but not zero", () => {
    expect([1.234, -1.234, 0.001, -0.001].map(formatPercent)).toEqual([
      "+1.23%",
      "−1.23%",
      "0.00%",
      "0.00%",
    ]);
  });
});

describe("times", () => {
  it("are shown in a zone", () => {
    const time = Date.UTC(2026, 2, 4, 23, 36, 7) / 1000;
    expect(formatDateTime(time, UTC)).toBe("2026-03-04 23:36");
    const kolkata = zoneNamed("Asia/Kolkata") ?? UTC;
    expect(formatDateTime(time, kolkata, true)).toBe("2026-03-05 05:06:07");
  });

  it("of candles are as exact as these are long", () => {
    const midnight = Date.UTC(2026, 2, 4) / 1000;
    const texts = [1, 60, 86_400, 604_800].map((length) => formatOpenTime(midnight, UTC, { seconds: length }));
    const date = "2026-03-04";
    expect(texts).toEqual([`${date} 00:00:00`, `${date} 00:00`, date, date]);
    // Days of some exchanges open at another hour.
    expect(formatOpenTime(midnight + 16 * 3600, UTC, { seconds: 86_400 })).toBe(`${date} 16:00`);
  });

  it("become short durations and countdowns", () => {
    expect([0, 59, 75, 3600, 90061].map(formatDuration)).toEqual([
      "0s",
      "59s",
      "1m 15s",
      "1h",
      "1d 1h",
    ]);
    const countdowns = [0, 75, 3700, 86_399, 450_000].map(formatCountdown);
    expect(countdowns).toEqual(["00:00", "01:15", "1:01:40", "23:59:59", "5d 5h"]);
  });
});
