import { describe, expect, it } from "vitest";

import type { SeriesAttachedParameter, Time } from "lightweight-charts";

import { GapMarks } from "../src/chart/gap-marks";
import { ShownCandles } from "../src/chart/shown-candles";
import { candle, candles } from "../../clients/typescript/tests/fakes/candles";

const SPACING = 8;

/** Candles from 0 on, 60 s apart and then an open one; prices are pixels. */
function onChart(count: number, view: { from: number; to: number }) {
  const shown = new ShownCandles();
  shown.show({ candles: candles(0, count), forming: candle(60 * count) });
  let looked = 0;
  let requests = 0;
  const timeScale = {
    getVisibleLogicalRange: () => view,
    logicalToCoordinate: (index: number) => ((looked += 1), (index - view.from) * SPACING),
  };
  const marks = new GapMarks(shown);
  marks.attached({
    chart: { timeScale: () => timeScale },
    series: {
      priceToCoordinate: (price: number) => price,
      applyOptions: () => (requests += 1),
    },
  } as unknown as SeriesAttachedParameter<Time>);
  const boxes: [number, number][] = [];
  const context = { fillRect: (x: number, y: number) => boxes.push([x, y]) };
  const target = { useMediaCoordinateSpace: (draw: (scope: unknown) => void) => draw({ context }) };
  const draw = (): [number, number][] => {
    boxes.length = 0;
    for (const each of marks.paneViews()) each.renderer()?.draw(target as never);
    return boxes;
  };
  return { marks, draw, requests: () => requests, looked: () => looked };
}

describe("GapMarks", () => {
  it("draws the marks in view, below their candles, and looks at no others", () => {
    const chart = onChart(50_000, { from: 20_000, to: 20_010 });
    chart.marks.show(Array.from({ length: 500 }, (_, index) => 60 * (20_005 + index)), "red");
    const boxes = chart.draw();
    expect([boxes.length, chart.looked()]).toEqual([6, 6]);
    expect(boxes.every(([, y]) => y > candle(0).low)).toBe(true);
    expect((boxes[1] as number[])[0]).toBe(((boxes[0] as number[])[0] as number) + SPACING);
  });

  it("marks the open candle too", () => {
    const chart = onChart(10, { from: 0, to: 12 });
    chart.marks.show([600], "red");
    expect(chart.draw()).toHaveLength(1);
  });

  it("is drawn again only when there is something to draw or to remove", () => {
    const chart = onChart(10, { from: 0, to: 4 });
    chart.marks.show([], "red");
    expect(chart.requests()).toBe(0);
    chart.marks.show([480], "red");
    expect([chart.draw(), chart.requests()]).toEqual([[], 1]);
    chart.marks.show([], "red");
    expect(chart.requests()).toBe(2);
  });
});
