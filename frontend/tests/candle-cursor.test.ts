import { beforeEach, describe, expect, it } from "vitest";

import { CandleCursor } from "../src/chart/candle-cursor";
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
  pointed: (move: { point?: object; sourceEvent?: object }) => void = () => undefined;

  timeScale(): unknown {
    return {
      getVisibleLogicalRange: () => this.range,
      subscribeVisibleLogicalRangeChange: (moved: () => void) => (this.moved = moved),
      scrollPosition: () => 0,
      scrollToPosition: (position: number) => this.scrolledBy.push(position),
    };
  }

  subscribeCrosshairMove(pointed: FakeChart["pointed"]): void {
    this.pointed = pointed;
  }

  setCrosshairPosition(_: number, time: number): void {
    this.put.push(time);
  }

  clearCrosshairPosition(): void {
    this.put.push(null);
  }
}

let chart: FakeChart;
let shown: ShownCandles;
let cursor: CandleCursor;
let seen: boolean[];

beforeEach(() => {
  chart = new FakeChart();
  shown = new ShownCandles();
  // Positions 0 to 9 are 600 to 1140, and an open one.
  shown.show({ candles: candles(600, 10), forming: candle(1200) });
  seen = [];
  cursor = new CandleCursor(chart as never, PRICES, shown, (isSeen) => seen.push(isSeen));
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
    expect(chart.scrolledBy).toEqual([1, -1]);
  });

  it("stays on its candle while others come and the chart moves, until the pointer takes it", () => {
    step(1);
    shown.show({ candles: candles(540, 12), forming: null });
    chart.moved();
    chart.pointed({ point: {} });
    chart.moved();
    expect(chart.put).toEqual([1080, 1080, 1080]);
    chart.pointed({ sourceEvent: {} });
    chart.moved();
    expect([chart.put.length, cursor.leave()]).toEqual([3, false]);
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
