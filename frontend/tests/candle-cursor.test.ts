import type { UTCTimestamp } from "lightweight-charts";
import { beforeEach, describe, expect, it } from "vitest";

import { CandleCursor } from "../src/chart/candle-cursor";
import { axisTime, timeOf } from "../src/chart/time-axis";
import { ShownCandles } from "../src/chart/shown-candles";
import { candle, candles } from "../../clients/typescript/tests/fakes/candles";

const PRICES = {} as never;

/** A chart of which the candles from `from` to `to` are in view. */
class FakeChart {
  range: { from: number; to: number } | null = { from: 2.5, to: 8.5 };
  /** Times that the crosshair was put on; null where it was taken away. */
  readonly put: (number | null)[] = [];
  scrolledBy: number[] = [];
  moved: () => void = () => undefined;
  pointed: (move: { point?: object; time?: number; sourceEvent?: object }) => void = () => undefined;

  timeScale(): unknown {
    return {
      getVisibleLogicalRange: () => this.range,
      subscribeVisibleLogicalRangeChange: (moved: () => void) => (this.moved = moved),
      scrollPosition: () => 0,
      scrollToPosition: (position: number) => this.scroll(position),
    };
  }

  private scroll(by: number): void {
    this.scrolledBy.push(by);
    if (this.range !== null) this.range = { from: this.range.from + by, to: this.range.to + by };
  }

  subscribeCrosshairMove(pointed: FakeChart["pointed"]): void {
    this.pointed = pointed;
  }

  setCrosshairPosition(_: number, time: number): void {
    this.put.push(timeOf(time as UTCTimestamp));
  }

  clearCrosshairPosition(): void {
    this.put.push(null);
  }
}

let chart: FakeChart;
let shown: ShownCandles;
let cursor: CandleCursor;
let seen: boolean[];
let pointed: (number | null)[];

beforeEach(() => {
  chart = new FakeChart();
  shown = new ShownCandles();
  // Positions 0 to 9 are 600 to 1140, and an open one.
  shown.show({ candles: candles(600, 10), forming: candle(1200) });
  seen = [];
  pointed = [];
  cursor = new CandleCursor(chart as never, PRICES, shown, {
    seen: (isSeen) => seen.push(isSeen),
    pointed: (time) => pointed.push(time),
  });
});

const step = (by: 1 | -1): number | undefined => cursor.step(by)?.candle_time;

describe("CandleCursor", () => {
  it("begins at the newest candle in view, whichever key is pressed", () => {
    expect([step(-1), step(-1), step(1), step(1)]).toEqual([1080, 1020, 1080, 1140]);
    expect(chart.put).toEqual([1080, 1020, 1080, 1140]);
  });

  it("stops at both ends, and goes on to the open candle", () => {
    chart.range = { from: 2, to: 40 };
    expect([step(1), step(1)]).toEqual([1200, 1200]);
    chart.range = { from: -9, to: 0.2 };
    cursor.leave();
    expect([step(-1), step(-1)]).toEqual([600, 600]);
  });

  it("brings its candle into view", () => {
    chart.range = { from: 5.5, to: 6.5 };
    step(1);
    step(1);
    expect(chart.scrolledBy).toEqual([1]);
    step(-1);
    step(-1);
    expect(chart.scrolledBy).toEqual([1, -1, -1]);
  });

  it("stays on its candle while others come and the chart moves, until the pointer takes it", () => {
    step(1);
    shown.show({ candles: candles(540, 12), forming: null });
    chart.range = { from: 3.5, to: 9.5 };
    chart.moved();
    chart.pointed({ point: {}, time: axisTime(1020) });
    chart.pointed({ point: {}, time: axisTime(1080) });
    chart.moved();
    expect(chart.put).toEqual([1080, 1080, 1080, 1080]);
    chart.pointed({ sourceEvent: {} });
    chart.moved();
    expect([chart.put.length, cursor.leave()]).toEqual([4, false]);
  });

  it("is away while its candle is out of view, and is there again with it", () => {
    step(1);
    chart.range = { from: 8.5, to: 14.5 };
    chart.moved();
    chart.pointed({});
    chart.moved();
    expect([chart.put, seen, pointed.at(-1)]).toEqual([[1080, null], [true, false], 1080]);
    chart.range = { from: 2.5, to: 8.5 };
    chart.moved();
    expect([chart.put.at(-1), seen.at(-1)]).toEqual([1080, true]);
    expect([step(1), seen.at(-1)]).toEqual([1140, true]);
  });

  it("points at its candle, whichever the library has at its pixel, and then at the pointer's", () => {
    step(1);
    chart.pointed({ point: {}, time: axisTime(1140) });
    chart.pointed({ point: {}, time: axisTime(660), sourceEvent: {} });
    chart.pointed({ sourceEvent: {} });
    expect(pointed).toEqual([1080, 660, null]);
  });

  it("reports when the crosshair comes and goes, by keys and by the pointer", () => {
    step(1);
    step(-1);
    cursor.leave();
    expect(seen.splice(0)).toEqual([true, false]);
    chart.pointed({ point: {}, sourceEvent: {} });
    chart.pointed({ point: {}, sourceEvent: {} });
    chart.pointed({});
    expect(seen).toEqual([true, false]);
  });

  it("is taken away once, and is on nothing without candles", () => {
    step(1);
    expect([cursor.leave(), cursor.leave(), chart.put.at(-1)]).toEqual([true, false, null]);
    shown.show({ candles: [], forming: null });
    expect(cursor.step(1)).toBeNull();
  });
});
