// @vitest-environment happy-dom
import { createChart, type IChartApi } from "lightweight-charts";
import { describe, expect, it, vi } from "vitest";

import { FEWEST_ROWS, LibraryRows, MOST_ROWS } from "../src/chart/library-rows";
import { axisTime } from "../src/chart/time-axis";
import { addUnseenSeries } from "../src/chart/unseen-series";
import type { Candle } from "trade-canvas-client/candle";
import { chartRoot } from "./fakes/canvas";

const candle = (time: number, close = 1): Candle => {
  return { candle_time: time, open: 1, high: 9, low: 0, close, volume: 1 };
};

function library(): { rows: LibraryRows; chart: IChartApi } {
  const color = "rgb(1, 2, 3)";
  const layout = { background: { color }, textColor: color, attributionLogo: false };
  const chart = createChart(chartRoot(), { layout });
  return { rows: new LibraryRows(() => addUnseenSeries(chart, { type: "price" })), chart };
}

/** The places of these times on the axis. */
function places(chart: IChartApi, times: readonly number[]): unknown[] {
  return times.map((time) => chart.timeScale().timeToIndex(axisTime(time)));
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1);
const upToCandles = (count: number): Candle[] => upTo(count).map((time) => candle(time));

describe("LibraryRows", () => {
  it("has every candle's time once, whatever their number", () => {
    const { rows, chart } = library();
    expect(rows.isEmpty).toBe(true);
    for (const count of [1, FEWEST_ROWS, FEWEST_ROWS + 1, 1000]) {
      rows.replace(upToCandles(count));
      expect(places(chart, [...upTo(count), count + 1])).toEqual([...upTo(count).map((time) => time - 1), null]);
    }
    rows.replace([]);
    expect([places(chart, [1]), rows.isEmpty]).toEqual([[null], true]);
  });

  it("keeps few candles as rows while some are added", () => {
    const { rows, chart } = library();
    rows.replace(upToCandles(500));
    for (let time = 501; time <= 2000; time += 1) {
      rows.update(candle(time));
      rows.update(candle(time, 2));
      expect(rows.newest.data().length).toBeLessThanOrEqual(MOST_ROWS);
    }
    expect(places(chart, upTo(2001))).toEqual([...upTo(2000).map((time) => time - 1), null]);
    expect(rows.past.data()).toEqual([]);
    expect(rows.newest.data().at(-1)).toMatchObject({ time: axisTime(2000), price: 2 });
  });

  it("sets the newest first while the axis is empty, and the past once", () => {
    const { rows, chart } = library();
    const sets: string[] = [];
    for (const part of ["past", "newest"] as const) {
      const set = rows[part].setData.bind(rows[part]);
      vi.spyOn(rows[part], "setData").mockImplementation((data) => {
        sets.push(`${part} ${data.length}`);
        set(data);
      });
    }
    const show = (...shown: number[]): string[] => {
      sets.length = 0;
      rows.replace(shown.map((time) => candle(time)));
      expect(places(chart, shown)).toEqual(shown.map((_, index) => index));
      return [...sets];
    };
    const long = 500 - FEWEST_ROWS;
    expect(show(...upTo(500))).toEqual([`newest ${FEWEST_ROWS}`, `past ${long}`]);
    expect(show(-2, -1, ...upTo(500))).toEqual([`past ${long + 2}`]);
    expect(show(...upTo(501))).toEqual([`past ${long + 1}`, `newest ${FEWEST_ROWS}`]);
    rows.update(candle(502));
    expect(show(-1, ...upTo(502))).toEqual([`past ${long + 2}`]);
    rows.replace([...upToCandles(501), candle(502, 3)]);
    expect(rows.newest.data().at(-1)).toEqual({ time: axisTime(502), price: 3 });
  });
});
