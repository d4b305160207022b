import { describe, expect, it } from "vitest";

import { UTC, zoneNamed } from "../src/i18n/zone";
import {
  formatCountdown,
  formatDateTime,
  formatDuration,
  formatPercent,
  formatPrice,
  formatVolume,
  pricePrecision,
} from "../src/i18n/format";

describe("pricePrecision", () => {
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
  ])("of %j is %i", (sample, precision) => expect(pricePrecision(sample)).toBe(precision));
});

describe("numbers", () => {
  it("group thousands in prices", () => {
    expect(formatPrice(42000.5, 2)).toBe("42,000.50");
    expect(formatPrice(0.00000812, 8)).toBe("0.00000812");
  });

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

  it("become short durations and countdowns", () => {
    expect([0, 59, 75, 3600, 90061].map(formatDuration)).toEqual([
      "0s",
      "59s",
      "1m 15s",
      "1h",
      "1d 1h",
    ]);
    expect([0, 75, 3700].map(formatCountdown)).toEqual(["00:00", "01:15", "1:01:40"]);
  });
});
