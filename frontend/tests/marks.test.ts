import { describe, expect, it } from "vitest";

import { captionOf } from "../src/drawings/caption";
import { hitAt, type Hit } from "../src/drawings/hits";
import { marksOn } from "../src/drawings/marks";
import { EMPTY_SCENE, type Scene, type SceneLine, type SceneMarker } from "../src/drawings/scene";
import type { Scales } from "../src/drawings/scales";

/** Candle n stands at `spacing * n` pixels, price p at 1000 - p. */
const at = (spacing: number): Scales => ({ origin: 0, spacing, y: (price) => 1000 - price });

function marker(index: number, more: Partial<SceneMarker> = {}): SceneMarker {
  const look = { color: "red", title: "", position: "aboveBar", shape: "circle", text: "A" } as const;
  return { id: `m${index}`, feature: "f", ...look, index, price: 500, size: 1, ...more };
}

function lineThrough(id: string, ...places: [number, number][]): SceneLine {
  return {
    id,
    feature: "f.line",
    color: "red",
    title: "",
    places: places.map(([index, price]) => ({ index, price })),
    width: 1,
    opacity: 1,
    dashed: false,
    layer: 0,
    halo: false,
    toAxis: false,
    name: "",
  };
}

const everyCandle = Array.from({ length: 1000 }, (_, index) => marker(index));

describe("marks", () => {
  it("are all there while candles are far apart, outside the candle", () => {
    const marks = marksOn(everyCandle.slice(0, 20), at(12), 900);
    expect(marks.length).toBe(20);
    expect(marks.every(({ y, withText }) => y < 496 && withText)).toBe(true);
    const [below] = marksOn([marker(1, { position: "belowBar" })], at(12), 900);
    expect(below?.y).toBeGreaterThan(504);
  });

  it("shrink with the candles, and lose their texts", () => {
    const extents = [12, 6, 3, 0.5].map((spacing) => {
      const [mark] = marksOn(everyCandle, at(spacing), 900);
      return mark?.extent ?? 0;
    });
    expect(extents).toEqual([...extents].sort((left, right) => right - left));
    expect(extents[0]).toBeGreaterThan(2 * (extents[3] as number));
    expect(marksOn(everyCandle, at(2), 900).some(({ withText }) => withText)).toBe(false);
  });

  it("never cover each other on one side, however many there are a pixel", () => {
    const marks = marksOn(everyCandle, at(0.25), 900);
    expect(marks.length).toBeGreaterThan(30);
    marks.slice(1).forEach(({ x, extent }, index) => {
      expect(x - (marks[index]?.x ?? 0)).toBeGreaterThanOrEqual(extent * 0.7);
    });
  });

  it("stay the same while the chart is moved", () => {
    const ids = (origin: number): string[] =>
      marksOn(everyCandle, { ...at(0.5), origin }, 400).map((mark) => mark.marker.id);
    const [before, after] = [ids(0), ids(-37)];
    expect(after.filter((id) => before.includes(id)).length).toBeGreaterThan(50);
    const all = new Set(marksOn(everyCandle, at(0.5), 1e6).map((mark) => mark.marker.id));
    expect([...before, ...after].filter((id) => !all.has(id))).toEqual([]);
  });

  it("of neighbouring candles are all there at the usual distance", () => {
    expect(marksOn(everyCandle.slice(0, 20), at(8), 900).length).toBe(20);
    expect(marksOn(everyCandle.slice(0, 20), at(6), 900).length).toBe(20);
  });

  it("at one place give way to the largest, then to the outermost", () => {
    const many = [
      marker(0, { id: "small", size: 0.5, price: 900 }),
      marker(1, { id: "low", price: 500 }),
      marker(2, { id: "high", price: 600 }),
      marker(1, { id: "below", position: "belowBar", price: 400 }),
      marker(2, { id: "lower", position: "belowBar", price: 300 }),
    ].sort((left, right) => left.index - right.index);
    expect(marksOn(many, at(0.5), 900).map((mark) => mark.marker.id)).toEqual(["high", "lower"]);
  });

  it("of one candle stand on each other", () => {
    const [first, second] = marksOn([marker(1, { id: "a" }), marker(1, { id: "b" })], at(12), 900);
    expect((first?.y ?? 0) - (second?.y ?? 0)).toBeGreaterThanOrEqual(first?.extent ?? Infinity);
  });

  it("out of view cost nothing", () => {
    expect(marksOn(everyCandle, { ...at(10), origin: -5000 }, 100).length).toBeLessThan(15);
  });
});

describe("hitAt", () => {
  const scene: Scene = {
    ...EMPTY_SCENE,
    lines: [lineThrough("under", [0, 500], [100, 500]), lineThrough("over", [0, 400], [100, 600])],
    boxes: [
      {
        ...lineThrough("box"),
        from: 10,
        to: 90,
        top: 800,
        bottom: 700,
        fill: "red",
        fillOpacity: 0.1,
        outline: "all",
      },
    ],
    labels: [{ ...lineThrough("label"), index: 50, price: 900, text: "T", place: "center" }],
  };
  const scales = at(10);
  const idAt = (x: number, y: number): string | undefined =>
    hitAt(scene, marksOn([marker(30)], scales, 1000), scales, { x, y })?.item.id;

  it("finds what lies under the pointer, small things first, upper lines before lower ones", () => {
    expect(idAt(200, 500)).toBe("under");
    expect(idAt(500, 502)).toBe("over");
    expect(idAt(300, 492)).toBe("m30");
    expect(idAt(500, 250)).toBe("box");
    expect(idAt(505, 102)).toBe("label");
    expect(idAt(500, 900)).toBeUndefined();
    expect(idAt(50, 250)).toBeUndefined();
  });

  it("finds a level up to the axis, and any segment of a long line", () => {
    const places = Array.from({ length: 500 }, (_, n): [number, number] => [n, 500 + (n % 2)]);
    const long = lineThrough("long", ...places);
    const level = { ...lineThrough("level", [0, 300], [20, 300]), toAxis: true };
    const both = { ...EMPTY_SCENE, lines: [long, level] };
    expect(hitAt(both, [], scales, { x: 4567, y: 500 })?.item.id).toBe("long");
    expect(hitAt(both, [], scales, { x: 900, y: 700 })?.item.id).toBe("level");
  });
});

describe("captionOf", () => {
  const words = { title: "Mean · Now", description: "What it is" };
  const caption = (hit: Hit): string => {
    const { title, prices } = captionOf(hit, words, (price) => price.toFixed(1));
    return `${title}: ${prices}`;
  };

  it("has the feature's words, and prices by kind", () => {
    const stroke = lineThrough("a", [0, 100], [10, 110]);
    expect(captionOf({ kind: "line", item: stroke }, words, String).description).toBe("What it is");
    expect(caption({ kind: "line", item: stroke })).toBe("Mean · Now: 100.0 → 110.0 (+10.00%)");
    const level = { ...lineThrough("a", [0, 100], [10, 100]), name: "R" };
    expect(caption({ kind: "line", item: level })).toBe("Mean · Now: R 100.0");
    expect(caption({ kind: "marker", item: marker(1) })).toBe("Mean · Now: 500.0");
  });

  it("prefers the title of the drawing", () => {
    const item = { ...lineThrough("a", [0, 100], [10, 90]), title: "Own" };
    expect(caption({ kind: "line", item })).toBe("Own: 100.0 → 90.0 (−10.00%)");
  });
});
