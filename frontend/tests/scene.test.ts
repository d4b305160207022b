import { describe, expect, it } from "vitest";

import { activeDrawings, fromBaseline, type Drawing } from "../src/drawings/drawings";
import type { Loaded } from "../src/drawings/axis";
import { idsByFeature, type Scene } from "../src/drawings/scene";
import { SceneBuilder } from "../src/drawings/scene-builder";
import { candle, candles } from "../../clients/typescript/tests/fakes/candles";
import { delta, grownLine, line, looksWith, mark, version } from "./fakes/drawings";
import { NO_LOOKS, type Look } from "../src/drawings/look";
import type { BoxDefinition, Definition, PolylineDefinition } from "trade-canvas-client/instruction";

/** Candles from 600 to 1140, positions 0 to 9. */
const LOADED: Loaded = { candles: candles(600, 10), forming: null, step: 60 };
const ALL = new Map<string, boolean>();

const buildScene = (...given: Parameters<SceneBuilder["build"]>): Scene =>
  new SceneBuilder().build(...given);

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

const places = (definition: Definition, loaded = LOADED, looks = NO_LOOKS): unknown => {
  const { lines } = buildScene(drawings({ x: definition }), ALL, loaded, looks);
  return lines[0]?.places.map(({ index, price }) => [index, price]);
};

describe("buildScene", () => {
  it("is empty without candles", () => {
    const empty = { candles: [], forming: null, step: 60 };
    expect(buildScene(drawings({ a: mark("pivot.major", 600) }), ALL, empty, NO_LOOKS).markers).toEqual([]);
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
      NO_LOOKS,
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
    const scene = buildScene(drawn, switches, LOADED, NO_LOOKS);
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

  it("keeps whole what is not to be clipped", () => {
    const looks = looksWith({ "f.whole": { unclipped: true } });
    expect(places(sloped("f.whole", [[480, 10], [720, 30]]), LOADED, looks)).toEqual([
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

  const AREA: Look = { color: "violet", fillOpacity: 0.2, area: ["top", "bottom"] };

  it("fills the area between two lines that the look names", () => {
    const edge = (price: number): Definition => ({
      ...(line("f.zone", [660, 780], price) as PolylineDefinition),
      extendRight: true,
    });
    const both = { "f.zone:bottom": edge(90), "f.zone:top": edge(110), "f.zone:top:other": edge(1) };
    const looks = looksWith({ "f.zone": { ...AREA, dashed: true } });
    const { boxes, lines } = buildScene(drawings(both), ALL, LOADED, looks);
    expect(boxes).toMatchObject([
      { id: "f.zone", from: 1, to: 9, top: 110, bottom: 90, fill: "violet", fillOpacity: 0.2 },
    ]);
    expect(boxes[0]?.outline).toBe("sides");
    expect(lines.map(({ dashed, color }) => [dashed, color])).toEqual([
      [true, "violet"],
      [true, "violet"],
      [true, "violet"],
    ]);
  });

  it("fills nothing without the other edge", () => {
    const alone = { "f.zone:top": line("f.zone", [660, 780]) };
    const looks = looksWith({ "f.zone": AREA });
    expect(buildScene(drawings(alone), ALL, LOADED, looks).boxes).toEqual([]);
  });

  it("draws layers in their order, with the width and colour of the look", () => {
    const { lines } = buildScene(
      drawings({
        "f.now": line("f.now", [600, 660]),
        "f.past": line("f.past", [660, 720]),
        "f.plain": line("f.plain", [660, 720]),
      }),
      ALL,
      LOADED,
      looksWith({
        "f.now": { layer: 2, width: 3, color: "amber", halo: true },
        "f.past": { layer: 1, width: 2.5 },
      }),
    );
    expect(lines.map(({ id, width, color, halo }) => [id, width, color, halo])).toEqual([
      ["f.plain", 2, "#ffffff", false],
      ["f.past", 2.5, "#ffffff", false],
      ["f.now", 3, "amber", true],
    ]);
  });

  it("names lines at the axis that extend right", () => {
    const looks = looksWith({ "f.level": { toAxis: true, name: "R" } });
    const both = { a: extended("f.level", [600, 660]), b: line("f.level", [600, 660]) };
    const { lines } = buildScene(drawings(both), ALL, LOADED, looks);
    expect(lines.map(({ id, toAxis, name }) => [id, toAxis, name])).toEqual([
      ["a", true, "R"],
      ["b", false, "R"],
    ]);
  });

  const box = { type: "box", feature: "f.box", top: 12, bottom: 8, color: "violet" } as const;
  const stroke = { lineWidth: 1, dashed: false, title: "", fill: null, extendRight: false };

  it("draws boxes inside the loaded candles, to the newest one if they extend", () => {
    const placed = (more: Partial<BoxDefinition>): unknown => {
      const drawn = { b: { ...box, ...stroke, start: 660, end: 780, ...more } };
      const { boxes } = buildScene(drawings(drawn), ALL, LOADED, NO_LOOKS);
      return boxes.map(({ from, to }) => [from, to]);
    };
    expect(placed({})).toEqual([[1, 3]]);
    expect(placed({ start: 300, end: 1500 })).toEqual([[0, 9]]);
    expect(placed({ extendRight: true })).toEqual([[1, 9]]);
    expect(placed({ start: 300, end: 540 })).toEqual([]);
    expect(placed({ start: 1200, end: 1260 })).toEqual([]);
  });

  it("fills a box with a light shade of its colour, or as the instruction has it", () => {
    const filled = (fill: string | null): unknown => {
      const drawn = { b: { ...box, ...stroke, start: 660, end: 780, fill } };
      const { boxes } = buildScene(drawings(drawn), ALL, LOADED, NO_LOOKS);
      return boxes.map((each) => [each.fill, each.fillOpacity]);
    };
    expect(filled(null)).toEqual([["violet", 0.12]]);
    expect(filled("teal")).toEqual([["teal", 0.12]]);
    expect(filled("rgba(1, 2, 3, 0.5)")).toEqual([["rgba(1, 2, 3, 0.5)", 1]]);
  });

  it("draws labels inside the loaded candles", () => {
    const label = { type: "label", feature: "f.label", value: 5, color: "text", title: "" } as const;
    const { labels } = buildScene(
      drawings({
        a: { ...label, time: 720, text: "here", place: "above" },
        b: { ...label, time: 540, text: "gone", place: "above" },
      }),
      ALL,
      LOADED,
      NO_LOOKS,
    );
    expect(labels).toMatchObject([{ id: "a", index: 2, price: 5, text: "here", place: "above" }]);
  });

  it("draws a growing line through its points", () => {
    const points = [480, 660, 720].map((time) => ({ time, value: time }));
    expect(places(grownLine(points))).toBeUndefined();
    const drawn = [{ id: "mean", definition: grownLine(points) }];
    const { lines } = buildScene(drawn, ALL, LOADED, NO_LOOKS);
    expect(lines[0]?.places).toEqual([
      { index: 0, price: 600 },
      { index: 1, price: 660 },
      { index: 2, price: 720 },
    ]);
  });

  it("places marks at the high or low of their candles", () => {
    const below = { ...mark("f", 720), position: "belowBar" } as Definition;
    const { markers } = buildScene(drawings({ a: mark("f", 660), b: below }), ALL, LOADED, NO_LOOKS);
    expect(markers.map(({ id, index, price }) => [id, index, price])).toEqual([
      ["a", 1, LOADED.candles[1]?.high],
      ["b", 2, LOADED.candles[2]?.low],
    ]);
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
