// @vitest-environment happy-dom
import { CandlestickSeries, createChart, type UTCTimestamp } from "lightweight-charts";
import { describe, expect, it, vi } from "vitest";

import { LONG_END, SHORT_END, SplitSeries } from "../src/chart/split-series";
import { chartRoot } from "./fakes/canvas";

const row = (time: number, close = 1) => {
  return { time: time as UTCTimestamp, open: 1, high: 9, low: 0, close };
};

function split(): SplitSeries {
  const color = "rgb(1, 2, 3)";
  const layout = { background: { color }, textColor: color, attributionLogo: false };
  const chart = createChart(chartRoot(), { layout });
  return new SplitSeries(() => chart.addSeries(CandlestickSeries));
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1);

describe("SplitSeries", () => {
  it("holds every row once, whatever its length", () => {
    const series = split();
    expect(series.isEmpty).toBe(true);
    for (const count of [1, SHORT_END, SHORT_END + 1, 1000]) {
      series.replace(upTo(count).map((time) => row(time)));
      expect(series.times()).toEqual(upTo(count));
    }
    series.replace([]);
    expect([series.times(), series.isEmpty]).toEqual([[], true]);
  });

  it("keeps the changing end short while rows are added", () => {
    const series = split();
    series.replace(upTo(500).map((time) => row(time)));
    for (let time = 501; time <= 2000; time += 1) {
      series.update(row(time));
      series.update(row(time, 2));
      expect(series.end.data().length).toBeLessThanOrEqual(LONG_END);
    }
    expect(series.times()).toEqual(upTo(2000));
    const held = [...series.body.data(), ...series.end.data()].slice(500);
    expect(held).toEqual(held.map(({ time }) => row(time as number, 2)));
  });

  it("sets the short part first while the axis is empty, and the long one once", () => {
    const series = split();
    const sets: string[] = [];
    for (const part of ["body", "end"] as const) {
      const set = series[part].setData.bind(series[part]);
      vi.spyOn(series[part], "setData").mockImplementation((rows) => {
        sets.push(`${part} ${rows.length}`);
        set(rows);
      });
    }
    const show = (...times: number[]): string[] => {
      sets.length = 0;
      series.replace(times.map((time) => row(time)));
      expect(series.times()).toEqual(times);
      return [...sets];
    };
    const long = 500 - SHORT_END;
    expect(show(...upTo(500))).toEqual([`end ${SHORT_END}`, `body ${long}`]);
    expect(show(-2, -1, ...upTo(500))).toEqual([`body ${long + 2}`]);
    expect(show(...upTo(501))).toEqual([`body ${long + 1}`, `end ${SHORT_END}`]);
    series.update(row(502));
    expect(show(-1, ...upTo(502))).toEqual([`body ${long + 2}`]);
    series.replace([...upTo(501).map((time) => row(time)), row(502, 3)]);
    expect(series.end.data().at(-1)).toEqual(row(502, 3));
  });

  it("finds the first row at or after a position in both parts", () => {
    const series = split();
    series.replace(upTo(500).map((time) => row(10 * time)));
    expect([0, 299, 300, 499, 500].map((index) => series.timeFrom(index))).toEqual([10, 3000, 3010, 5000, null]);
    expect(series.timeFrom(-5)).toBe(10);
  });
});
