// @vitest-environment happy-dom
import { beforeEach, describe, expect, it } from "vitest";

import { CandleChart } from "../src/chart/chart";
import { ShownCandles } from "../src/chart/shown-candles";
import { timeOf } from "../src/chart/time-axis";
import { themeOf } from "../src/chart/theme";
import { SettingsStore } from "../src/settings/settings";
import { FeatureSwitches } from "../src/studies/feature-switches";
import { VolumeStudy } from "../src/studies/volume";
import { VolumeBars } from "../src/studies/volume-bars";
import { initialState, reduce, type Action } from "trade-canvas-client/series-state";
import { chartRoot } from "./fakes/canvas";
import { paint } from "./fakes/pane";
import { candle, candles } from "../../clients/typescript/tests/fakes/candles";

const SERIES = "sim:spot:BTC/USDT:1m";

beforeEach(() => document.body.replaceChildren());

describe("VolumeStudy", () => {
  it("has the library hold a few rows, however long the history grows", () => {
    const root = chartRoot();
    const nothing = (): void => undefined;
    const events = { nearStart: nothing, pointed: nothing, viewed: nothing, atEnd: nothing };
    const chart = new CandleChart(root, themeOf(root), events);
    const study = new VolumeStudy(new FeatureSwitches(new SettingsStore(() => window.localStorage)));
    study.attach(chart.host);
    let state = initialState(SERIES);
    const act = (action: Action): void => {
      const step = reduce(state, action);
      state = step.state;
      chart.apply(state, step.change);
      study.apply(state, step.change);
    };
    act({ type: "candles_batch", candles: candles(60, 2000) });
    const rows = (): number[] =>
      chart.host.chart.panes()[1]?.getSeries().flatMap((series) =>
        series.data().map(({ time }) => timeOf(time))) ?? [];
    expect(rows()).toEqual([60 * 2000]);
    for (let time = 60 * 2001; time <= 60 * 2300; time += 60) {
      act({ type: "candle_forming", candle: candle(time, 99) });
      act({ type: "candle_closed", candle: candle(time) });
      expect(rows().length).toBeLessThanOrEqual(100);
      // The library scales the pane by a row that is in view, or later.
      expect(rows().at(-1)).toBe(time);
    }
    expect(chart.heldTimes()).toHaveLength(2300);
    study.detach();
    expect(chart.host.chart.panes()).toHaveLength(1);
    chart.remove();
  });
});

/** Bars of candles in a view of so many pixels a candle; the candle at the left edge is `from`. */
function bars(from: number, spacing: number, ratio = 1) {
  const shown = new ShownCandles();
  const list = candles(0, 100).map((each, index) => ({ ...each, volume: index }));
  shown.show({ candles: list, forming: { ...candle(6000), volume: 50 } });
  const volume = new VolumeBars(shown);
  volume.color = ({ candle_time: time }) => `${time / 60}`;
  return { volume, painted: paint(volume, { from, spacing, ratio }) };
}

describe("VolumeBars", () => {
  it("paints the candles in view and no others, from zero to their volume", () => {
    const { painted } = bars(20, 8);
    expect(painted.map(({ color }) => Number(color))).toEqual([20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30]);
    // A pixel apart, around the middle of the candle.
    expect(painted[0]?.box).toEqual([-4, 80, 7, 20]);
    expect(painted[10]?.box).toEqual([76, 70, 7, 30]);
  });

  it("paints the open candle last, and nothing where no candle is", () => {
    const { painted } = bars(98, 8);
    expect(painted.map(({ color }) => Number(color))).toEqual([98, 99, 100]);
    expect(painted.at(-1)?.box.slice(1)).toEqual([50, 7, 50]);
    expect(bars(200, 8).painted).toEqual([]);
    // A pixel for a candle without trades.
    expect(bars(-2, 8).painted[0]).toEqual({ color: "0", box: [12, 99, 7, 1] });
  });

  it("lets no bars overlap, at any width and on any screen", () => {
    for (const ratio of [1, 1.25, 2, 3]) {
      for (const spacing of [0.5, 0.9, 1.3, 2, 2.7, 3.9, 6.4, 8, 13.3]) {
        const { painted } = bars(0, spacing, ratio);
        const overlaps = painted.slice(1).filter(({ box: [left = 0] }, index) => {
          const [start = 0, , width = 0] = painted[index]?.box ?? [];
          return spacing * ratio > 1 && left < start + width;
        });
        expect([ratio, spacing, overlaps]).toEqual([ratio, spacing, []]);
        expect(painted.every(({ box: [, , width = 0] }) => width >= 1)).toBe(true);
      }
    }
  });

  it("scales the pane from zero to the largest volume in view", () => {
    const { volume } = bars(0, 8);
    const rangeOf = (from: number, to: number) => volume.autoscaleInfo(from, to).priceRange;
    expect(rangeOf(10, 20)).toEqual({ minValue: 0, maxValue: 20 });
    expect(rangeOf(-5, 3)).toEqual({ minValue: 0, maxValue: 3 });
    expect(rangeOf(100, 130)).toEqual({ minValue: 0, maxValue: 50 });
    expect(rangeOf(300, 400)).toEqual({ minValue: 0, maxValue: 0 });
  });
});
