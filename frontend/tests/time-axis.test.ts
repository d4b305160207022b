// @vitest-environment happy-dom
import { CandlestickSeries } from "lightweight-charts";
import { describe, expect, it } from "vitest";

import { axisTime, createZonedChart, timeOf, ZonedAxis } from "../src/chart/time-axis";
import { chartRoot } from "./fakes/canvas";

/** The first second, either side of 2004 and of 2038 where a time needs another bit, and 2100. */
const TIMES = [1, 2 ** 30 - 60, 2 ** 30, 2 ** 31 - 60, 2 ** 31, 4_102_444_800];

describe("the zoned axis", () => {
  it("has every time where the candle of that time is", () => {
    const color = "rgb(1, 2, 3)";
    const chart = createZonedChart(chartRoot(), new ZonedAxis(), {
      layout: { background: { color }, textColor: color, attributionLogo: false },
      width: 800,
      height: 400,
    });
    const options = { lastValueVisible: false, priceLineVisible: false };
    const series = chart.addSeries(CandlestickSeries, options);
    const later = chart.addSeries(CandlestickSeries, options);
    const rows = TIMES.map((time) => {
      return { time: axisTime(time), open: 1, high: 9, low: 0, close: 1 };
    });
    // The newest first: the axis puts them in order.
    later.setData(rows.slice(3));
    series.setData(rows.slice(0, 3));
    const scale = chart.timeScale();
    expect(rows.map(({ time }) => scale.timeToIndex(time))).toEqual([0, 1, 2, 3, 4, 5]);
    expect([...series.data(), ...later.data()].map(({ time }) => timeOf(time))).toEqual(TIMES);
    expect(scale.timeToIndex(axisTime(2 ** 30 + 1), true)).toBe(3);
    chart.remove();
  });
});
