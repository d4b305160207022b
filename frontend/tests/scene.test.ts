import { describe, expect, it } from "vitest";

import { activeDrawings, fromBaseline, type Drawing } from "../src/drawings/drawings";
import { buildScene, idsByFeature, type Loaded } from "../src/drawings/scene";
import { candle, candles } from "./fakes/candles";
import { delta, line, mark, version } from "./fakes/drawings";
import type { Definition, PolylineDefinition } from "../src/drawings/instruction";

/** Candles from 600 to 1140, positions 0 to 9. */
const LOADED: Loaded = { candles: candles(600, 10), forming: null, step: 60 };
const ALL = new Map<string, boolean>();

function drawings(definitions: Readonly<Record<string, Definition>>): Drawing[] {
  const versions = Object.entries(definitions).map(([id, definition], index) =>
    version(index + 1, id, definition),
  );
  return activeDrawings(fromBaseline(delta(1140, versions)));
}

function sloped(feature: string, points: readonly (readonly [number, number])[]): Definition {
  const made = line(feature, []) as PolylineDefinition;
  return { ...made, points: points.map(([time, value]) => ({ time, value })) };
}

const extended = (feature: string, times: readonly number[]): Definition =>
  ({ ...line(feature, times), extendRight: true }) as Definition;

const places = (definition: Definition, loaded = LOADED): unknown => {
  const { lines, anchors } = buildScene(drawings({ x: definition }), ALL, loaded);
  return [...lines, ...anchors][0]?.places.map(({ index, price }) => [index, price]);
};

describe("buildScene", () => {
  it("is empty without candles", () => {
    const empty = { candles: [], forming: null, step: 60 };
    expect(buildScene(drawings({ a: mark("pivot.major", 600) }), ALL, empty).markers).toEqual([]);
  });

  it("shows markers inside the loaded candles, in order of time", () => {
    const scene = buildScene(
      drawings({
        a: mark("pivot.major", 1140),
        b: mark("pivot.major", 600),
        c: mark("pivot.major", 540),
        d: mark("pivot.major", 1200),
      }),
      ALL,
      LOADED,
    );
    expect(scene.markers.map(({ id }) => id)).toEqual(["b", "a"]);
  });

  it("leaves out features that are off, by themselves or with their factor", () => {
    const drawn = drawings({
      a: mark("pivot.major", 600),
      b: mark("pivot.minor", 600),
      c: line("pen.confirmed", [600, 660]),
    });
    const switches = new Map([
      ["pivot.minor", false],
      ["pen", false],
    ]);
    const scene = buildScene(drawn, switches, LOADED);
    expect([scene.markers.map(({ id }) => id), scene.lines]).toEqual([["a"], []]);
  });

  it("puts points on their candles, across a hole too", () => {
    const holed = { candles: [candle(600), candle(660), candle(1200)], forming: null, step: 60 };
    expect(places(sloped("pen.confirmed", [[600, 1], [660, 2], [1200, 3]]), holed)).toEqual([
      [0, 1],
      [1, 2],
      [2, 3],
    ]);
    expect(places(line("sr.broken", [600, 930]), holed)).toEqual([
      [0, 100],
      [1.5, 100],
    ]);
  });

  it("clips to the loaded candles", () => {
    expect(places(sloped("pen.confirmed", [[480, 10], [720, 30], [1260, 90]]))).toEqual([
      [0, 20],
      [2, 30],
      [9, 30 + (60 * 7) / 9],
    ]);
    expect(places(line("pen.confirmed", [300, 540]))).toBeUndefined();
    expect(places(line("pen.confirmed", [1200, 1260]))).toBeUndefined();
  });

  it("keeps anchors whole", () => {
    expect(places(sloped("anchor.current", [[480, 10], [720, 30]]))).toEqual([
      [-2, 10],
      [2, 30],
    ]);
  });

  it("extends active lines to the newest candle, the forming one included", () => {
    expect(places(extended("sr.active", [480, 720]))).toEqual([
      [0, 100],
      [2, 100],
      [9, 100],
    ]);
    const forming = { ...LOADED, forming: candle(1200) };
    expect(places(extended("sr.active", [660, 720]), forming)).toEqual([
      [1, 100],
      [2, 100],
      [10, 100],
    ]);
    expect(places(extended("sr.active", [300, 480]))).toEqual([
      [0, 100],
      [9, 100],
    ]);
  });

  it("fills a zhongshu between its edges, dashed while it is alive", () => {
    const edge = (price: number): Definition => ({
      ...(line("zhongshu.alive", [660, 780], price) as PolylineDefinition),
      entryDirection: -1,
      extendRight: true,
    });
    const both = { "zhongshu.alive:bottom": edge(90), "zhongshu.alive:top": edge(110) };
    const { zones, lines } = buildScene(drawings(both), ALL, LOADED);
    expect(zones).toEqual([
      { id: "zhongshu.alive", from: 1, to: 9, top: 110, bottom: 90, fill: "rgba(220, 38, 38, 0.18)" },
    ]);
    expect(lines.map(({ dashed }) => dashed)).toEqual([true, true]);
  });

  it("fills each ended zhongshu by its direction", () => {
    const edge = (price: number): Definition => ({
      ...(line("zhongshu.dead", [660, 780], price) as PolylineDefinition),
      entryDirection: 1,
    });
    const scene = buildScene(
      drawings({ "z:bottom": edge(90), "z:top": edge(110), "other:top": edge(120) }),
      ALL,
      LOADED,
    );
    expect(scene.zones).toEqual([
      { id: "z", from: 1, to: 3, top: 110, bottom: 90, fill: "rgba(74, 222, 128, 0.12)" },
    ]);
    expect(scene.lines.every(({ dashed }) => !dashed)).toBe(true);
  });

  it("draws the current anchor last, and wide", () => {
    const { anchors, lines } = buildScene(
      drawings({
        "anchor.current": line("anchor.current", [600, 660]),
        "anchor.history:1": line("anchor.history", [660, 720]),
      }),
      ALL,
      LOADED,
    );
    expect(anchors.map(({ id, width, color }) => [id, width, color])).toEqual([
      ["anchor.history:1", 2.5, "#3b82f6"],
      ["anchor.current", 3, "#f59e0b"],
    ]);
    expect(lines).toEqual([]);
  });
});

describe("idsByFeature", () => {
  it("groups and sorts", () => {
    const drawn = [
      { id: "b", feature: "f" },
      { id: "a", feature: "f" },
      { id: "c", feature: "g" },
    ];
    expect(idsByFeature(drawn)).toEqual({ f: ["a", "b"], g: ["c"] });
  });
});
