import { TickMarkType } from "lightweight-charts";
import { describe, expect, it } from "vitest";

import { axisTime, timeOf, tickText, weightOf, ZonedAxis } from "../src/chart/time-axis";
import { formatOpenTime, formatDateTime } from "../src/i18n/format";
import { chosenZone, UTC, zoneNamed, zoneNames, zoneOfTimeframe, type Zone } from "../src/i18n/zone";
import { closeTimeOf, openTimeAt, parseTimeframe } from "trade-canvas-client/timeframe";

const at = (...parts: readonly number[]): number =>
  Date.UTC(...(parts as [number, number, number])) / 1000;

function zone(name: string): Zone {
  const found = zoneNamed(name);
  if (found === null) throw new Error(`no ${name}`);
  return found;
}

describe("a zone", () => {
  it.each([
    ["America/New_York", "2026-01-04 19:00"],
    ["America/Sao_Paulo", "2026-01-04 21:00"],
    ["Asia/Kolkata", "2026-01-05 05:30"],
    ["Asia/Kathmandu", "2026-01-05 05:45"],
    ["Asia/Shanghai", "2026-01-05 08:00"],
    ["UTC", "2026-01-05 00:00"],
  ])("%s shows midnight in UTC as %s", (name, text) => {
    expect(formatDateTime(at(2026, 0, 5), zone(name))).toBe(text);
  });

  it("repeats an hour in the night when summer time ends", () => {
    const texts = [4, 5, 6, 7].map((hour) =>
      formatDateTime(at(2026, 10, 1, hour, 30), zone("America/New_York")).slice(11),
    );
    expect(texts).toEqual(["00:30", "01:30", "01:30", "02:30"]);
  });

  it("skips an hour in the night when summer time begins", () => {
    const texts = [0, 1, 2].map((hour) =>
      formatDateTime(at(2026, 2, 29, hour, 30), zone("Europe/Berlin")).slice(11),
    );
    expect(texts).toEqual(["01:30", "03:30", "04:30"]);
  });

  it("agrees with the browser at every hour of ten years", () => {
    const name = "America/Sao_Paulo";
    const shown = new Intl.DateTimeFormat("sv-SE", {
      timeZone: name,
      dateStyle: "short",
      timeStyle: "short",
    });
    for (let time = at(2010, 0, 1); time < at(2020, 0, 1); time += 17 * 3600) {
      expect(formatDateTime(time, zone(name))).toBe(shown.format(time * 1000));
    }
  });

  it("has its present name", () => {
    expect([zone("Asia/Calcutta").name, zoneNames().includes("Asia/Kathmandu")]).toEqual([
      "Asia/Kolkata",
      true,
    ]);
  });

  it("is UTC for the exchange, and for names that the browser does not know", () => {
    expect([chosenZone("exchange"), chosenZone("Mars/Olympus")]).toEqual([UTC, UTC]);
    expect(zoneNamed("Mars/Olympus")).toBeNull();
  });

  it.each([
    ["1m", "Asia/Kolkata"],
    ["4h", "Asia/Kolkata"],
    ["1d", "UTC"],
    ["1w", "UTC"],
    ["1M", "UTC"],
    ["1d~America/New_York", "America/New_York"],
    ["1M~Asia/Shanghai", "Asia/Shanghai"],
  ])("of candles of %s is %s: days are never shifted", (timeframe, name) => {
    const chosen = { ...zone("Asia/Kolkata"), name: "Asia/Kolkata", offsetAt: () => 19_800 };
    expect(zoneOfTimeframe(parseTimeframe(timeframe), chosen).name).toBe(name);
  });
});

describe("times of candles", () => {
  it.each([
    ["1m", at(2024, 1, 1), "2024-02-01 00:00"],
    ["1M", at(2024, 1, 17), "2024-02"],
    ["1M~Asia/Shanghai", at(2024, 0, 31, 16), "2024-02"],
    ["3M", at(2024, 4, 5), "2024-04"],
    ["1d~America/New_York", at(2024, 2, 10, 12), "2024-03-10"],
    // Its midnight was skipped.
    ["1d~America/Sao_Paulo", at(2017, 9, 15, 12), "2017-10-15"],
    ["1w~Europe/London", at(2024, 3, 3), "2024-04-01"],
  ])("of %s are written as what they are of", (text, time, written) => {
    const timeframe = parseTimeframe(text);
    const shownIn = zoneOfTimeframe(timeframe, UTC);
    expect(formatOpenTime(openTimeAt(timeframe, time), shownIn, timeframe)).toBe(written);
  });

  it.each([
    ["1M", [60, 60, 70]],
    ["1M~America/New_York", [60, 60, 70]],
    ["1d~America/New_York", [50, 50, 50]],
  ])("of %s weigh on the axis as the dates of their zone", (text, weights) => {
    const timeframe = parseTimeframe(text);
    const axis = new ZonedAxis();
    axis.zone = zoneOfTimeframe(timeframe, UTC);
    let time = openTimeAt(timeframe, at(2023, 9, 20));
    const points = Array.from({ length: 4 }, () => {
      const point = { originalTime: axisTime(time), timeWeight: 0 };
      time = closeTimeOf(timeframe, time);
      return point;
    });
    axis.fillWeightsForPoints(points as never, 0);
    expect(points.slice(1).map(({ timeWeight }) => timeWeight)).toEqual(weights);
  });
});

describe("labels of the time axis", () => {
  it.each([
    ["a year", [2026, 0, 1], [2025, 11, 31, 23], 70],
    ["a month", [2026, 1, 1], [2026, 0, 31, 23], 60],
    ["a day", [2026, 0, 2], [2026, 0, 1, 23, 59], 50],
    ["noon", [2026, 0, 2, 12], [2026, 0, 2, 11, 59], 33],
    ["an hour", [2026, 0, 2, 13], [2026, 0, 2, 12, 59], 30],
    ["a minute", [2026, 0, 2, 13, 1], [2026, 0, 2, 13], 20],
  ] as const)("weigh the beginning of %s", (_, now, before, weight) => {
    expect(weightOf(at(...now), at(...before))).toBe(weight);
  });

  it("put the day where it begins in the zone", () => {
    const axis = new ZonedAxis();
    axis.zone = zone("Asia/Kolkata");
    const first = at(2026, 0, 4, 16);
    const points = Array.from({ length: 6 }, (_, hour) => ({
      originalTime: axisTime(first + hour * 1800 + 1800),
      timeWeight: 0,
    }));
    axis.fillWeightsForPoints(points as never, 0);
    const days = points.filter(({ timeWeight }) => timeWeight === 50);
    expect(days.map(({ originalTime }) => timeOf(originalTime))).toEqual([at(2026, 0, 4, 18, 30)]);
  });

  it("are none without candles", () => {
    expect(() => new ZonedAxis().fillWeightsForPoints([], 0)).not.toThrow();
  });

  it.each([
    [TickMarkType.Year, "2026"],
    [TickMarkType.Month, "Jan"],
    [TickMarkType.DayOfMonth, "5 Jan"],
    [TickMarkType.Time, "05:30"],
    [TickMarkType.TimeWithSeconds, "05:30:00"],
  ])("read as the zone's clocks (%s)", (type, text) => {
    expect(tickText(at(2026, 0, 5), type, zone("Asia/Kolkata"))).toBe(text);
  });
});
