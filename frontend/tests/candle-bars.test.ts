import { describe, expect, it } from "vitest";

import { CandleBars, widths } from "../src/chart/candle-bars";
import { ShownCandles } from "../src/chart/shown-candles";
import type { Candle } from "trade-canvas-client/candle";
import { paint, type View } from "./fakes/pane";

/** Candle number `index`, which rises where that is even. */
function candle(index: number): Candle {
  const [open, close] = index % 2 === 0 ? [40, 60] : [60, 40];
  return { candle_time: 60 * index, open, high: 70, low: 30, close, volume: 1 };
}

const upTo = (count: number): Candle[] => Array.from({ length: count }, (_, index) => candle(index));

function bars(candles: readonly Candle[], forming: Candle | null = null): CandleBars {
  const shown = new ShownCandles();
  shown.show({ candles, forming });
  const made = new CandleBars(shown);
  made.colors = { up: "green", down: "red" };
  return made;
}

/** What is painted in the middle of one candle, which alone is there. */
function one(prices: Partial<Candle>, ratio = 1) {
  return paint(bars([{ ...candle(0), ...prices }]), { from: -5, spacing: 8, ratio });
}

describe("CandleBars", () => {
  it("paints a wick from the highest to the lowest price, and a body from open to close", () => {
    const wick = { color: "green", box: [40, 30, 1, 41] };
    const body = { color: "green", box: [38, 40, 5, 21] };
    expect(one({})).toEqual([wick, body]);
    expect(one({ open: 60, close: 40 })).toEqual([
      { ...wick, color: "red" },
      { ...body, color: "red" },
    ]);
  });

  it("shows a candle without a body, or without any extent", () => {
    expect(one({ open: 50, close: 50 })[1]).toEqual({ color: "green", box: [38, 50, 5, 1] });
    const flat = one({ open: 50, high: 50, low: 50, close: 50 });
    expect(flat.map(({ box }) => box)).toEqual([[40, 50, 1, 1], [38, 50, 5, 1]]);
  });

  it("paints the candles in view and no others, the open one too", () => {
    const made = bars(upTo(50_000), candle(50_000));
    const columns = ({ from, spacing }: View): (number | undefined)[] =>
      paint(made, { from, spacing }).filter(({ box }) => box[2] === 1).map(({ box }) => box[0]);
    expect(columns({ from: 20_000, spacing: 8 })).toEqual([0, 8, 16, 24, 32, 40, 48, 56, 64, 72, 80]);
    expect(columns({ from: 49_999, spacing: 8 })).toEqual([0, 8]);
    expect(columns({ from: -9, spacing: 8 })).toEqual([72, 80]);
    expect(columns({ from: 60_000, spacing: 8 })).toEqual([]);
    expect(columns({ from: -100, spacing: 8 })).toEqual([]);
  });

  it("keeps the wick in the middle and bodies apart, at any width and on any screen", () => {
    for (const ratio of [1, 1.25, 1.5, 2, 3]) {
      for (const spacing of [0.5, 1, 1.3, 2, 2.7, 3.9, 4, 6, 8, 13.3, 50]) {
        const { wick, body } = widths(spacing, ratio);
        const case_ = `${spacing} at ${ratio}`;
        expect([case_, wick, (body - wick) % 2]).toEqual([case_, Math.max(1, Math.floor(ratio)), 0]);
        const edges = paint(bars(upTo(200)), { from: 0, spacing, ratio })
          .filter(({ box }) => box[2] === body)
          .map(({ box }) => box[0] as number);
        const overlaps = edges.slice(1).filter((left, index) => left < (edges[index] as number) + body);
        if (spacing * ratio >= wick) expect([case_, overlaps]).toEqual([case_, []]);
      }
    }
    expect([widths(8, 1), widths(3, 1), widths(50, 1)].map(({ body }) => body)).toEqual([5, 3, 39]);
  });

  it("scales the pane from the lowest to the highest price in view", () => {
    const list = upTo(100);
    list[50] = { ...candle(50), high: 99 };
    const made = bars(list, { ...candle(100), low: 1 });
    const rangeOf = (from: number, to: number) => made.autoscaleInfo(from, to)?.priceRange;
    expect(rangeOf(0, 49)).toEqual({ minValue: 30, maxValue: 70 });
    expect(rangeOf(-20, 50)).toEqual({ minValue: 30, maxValue: 99 });
    expect(rangeOf(60, 130)).toEqual({ minValue: 1, maxValue: 70 });
    expect(rangeOf(200, 300)).toBeUndefined();
  });
});
