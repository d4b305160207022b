// @vitest-environment happy-dom
import { describe, expect, it } from "vitest";

import { DrawingTip } from "../src/drawings/drawing-tip";
import { DrawingTour } from "../src/drawings/drawing-tour";
import { EMPTY_SCENE, type Scene, type SceneBox, type SceneLine } from "../src/drawings/scene";
import { stopsOn, type Stop } from "../src/drawings/stops";
import type { Mark } from "../src/drawings/marks";
import type { Scales } from "../src/drawings/scales";

const SIZE = { width: 1000, height: 400 };
/** Candle n stands at 10 n pixels, price p at 400 - p. */
const scales = (origin = 0): Scales => ({ origin, spacing: 10, y: (price) => 400 - price });
const LOOK = { feature: "f", color: "red", title: "", width: 1, opacity: 1, dashed: false };

function line(id: string, places: [number, number][], more: Partial<SceneLine> = {}): SceneLine {
  const made = places.map(([index, price]) => ({ index, price }));
  return { id, ...LOOK, places: made, layer: 0, halo: false, toAxis: false, name: "", ...more };
}

function box(id: string, from: number, to: number, more: Partial<SceneBox> = {}): SceneBox {
  const fill = { fill: "red", fillOpacity: 0.1, outline: "all" } as const;
  return { id, ...LOOK, ...fill, from, to, top: 200, bottom: 100, ...more };
}

function mark(index: number): Mark {
  const look = { position: "aboveBar", shape: "circle", text: "", size: 1 } as const;
  const marker = { id: `m${index}`, ...LOOK, ...look, index, price: 200 };
  return { marker, x: index * 10, y: 190, extent: 10, withText: false };
}

const ids = (scene: Partial<Scene>, marks: readonly Mark[] = [], origin = 0): string[] =>
  stopsOn({ ...EMPTY_SCENE, ...scene }, marks, scales(origin), SIZE).map(({ hit }) => hit.item.id);

describe("stopsOn", () => {
  it("has every kind in the order of time", () => {
    const scene = {
      lines: [line("pen", [[5, 100], [20, 300]]), line("level", [[-50, 50], [-1, 50]], { toAxis: true })],
      boxes: [box("zone", 12, 40)],
      labels: [{ id: "word", ...LOOK, index: 30, price: 250, text: "run", place: "above" as const }],
    };
    expect(ids(scene, [mark(8), mark(35)])).toEqual(["level", "pen", "m8", "zone", "word", "m35"]);
  });

  it("leaves out what is beside, above or below the pane", () => {
    const boxes = [box("left", -9, -1), box("right", 101, 120), box("in", 90, 120)];
    const lines = [line("above", [[5, 500], [20, 480]]), line("before", [[-20, 10], [-5, 20]])];
    const low = { ...box("low", 1, 5), top: -10, bottom: -50 };
    expect(ids({ lines, boxes: [...boxes, low] })).toEqual(["in"]);
    expect(ids({ boxes }, [], 200)).toEqual(["left"]);
  });

  it("counts an area once, not its edges too", () => {
    const edges = ["top", "bottom"].map((end) => line(`zone:1:${end}`, [[1, 200], [9, 200]]));
    const area = box("zone:1", 1, 9, { outline: "sides" });
    expect(ids({ lines: edges, boxes: [area] })).toEqual(["zone:1"]);
    expect(ids({ lines: edges, boxes: [box("zone:1", 1, 9)] }).length).toBe(3);
  });

  it("sees a stroke where it is, a curve at its last place in view, and only within the pane", () => {
    const curve = Array.from({ length: 200 }, (_, index): [number, number] => [index, 100]);
    const scene = { lines: [line("curve", curve), line("stroke", [[-10, 300], [20, 100]])] };
    const stops = stopsOn({ ...EMPTY_SCENE, ...scene }, [], scales(), SIZE);
    expect(stops.map(({ area }) => area)).toEqual([
      { left: 0, top: 100, right: 200, bottom: 300 },
      { left: 1000, top: 300, right: 1000, bottom: 300 },
    ]);
  });
});

describe("DrawingTour", () => {
  let root: HTMLElement;
  let stops: Stop[];

  function tour(): DrawingTour {
    root = document.createElement("div");
    document.body.replaceChildren(root);
    return new DrawingTour(root, new DrawingTip(root), {
      stops: () => stops,
      captionOf: ({ hit }) => ({ title: hit.item.id, prices: "10", description: "What it is" }),
      timeText: (index) => `2026-01-0${index > 9 ? 2 : 1} 12:0${index % 10}`,
    });
  }

  const at = (origin: number): Stop[] =>
    stopsOn({ ...EMPTY_SCENE, boxes: [box("wide", 3, 30)] }, [mark(1), mark(9)], scales(origin), SIZE);
  const spoken = (): string => root.querySelector("[role=status]")?.textContent ?? "";
  const part = (name: string): HTMLElement => root.querySelector(`.drawing-${name}`) as HTMLElement;
  const shown = (): string | null => (part("tip").hidden ? null : part("tip-title").textContent);

  it("goes forth and back through all of them, names, frames and announces each", () => {
    stops = at(0);
    const made = tour();
    expect([made.step(1), shown(), part("frame").hidden]).toEqual([true, "m1", false]);
    expect(spoken()).toBe("m1. 10. 2026-01-01 12:01. 1 of 3. What it is");
    const seen = [1, 1, 1, -1].map((by) => [made.step(by as 1 | -1), shown()][1]);
    expect(seen).toEqual(["wide", "m9", "m1", "m9"]);
    made.step(-1);
    expect([part("tip-count").textContent, part("tip-time").textContent]).toEqual([
      "2 of 3",
      "2026-01-01 12:03 – 2026-01-02 12:00",
    ]);
    expect([part("frame").style.left, part("frame").style.width]).toEqual(["26px", "278px"]);
  });

  it("has a date once where both times are of one day", () => {
    stops = stopsOn({ ...EMPTY_SCENE, boxes: [box("day", 3, 9)] }, [], scales(), SIZE);
    tour().step(1);
    expect(part("tip-time").textContent).toBe("2026-01-01 12:03 – 12:09");
  });

  it("begins with the last one when it goes back", () => {
    stops = at(0);
    tour().step(-1);
    expect(shown()).toBe("m9");
  });

  it("follows a drawing while the chart moves, and goes on from one that left the view", () => {
    stops = at(0);
    const made = tour();
    made.step(1);
    stops = stops.map((each) => ({ ...each, area: { ...each.area, left: 500 } }));
    made.follow();
    expect([shown(), part("frame").style.left]).toEqual(["m1", "496px"]);
    stops = stops.slice(1);
    made.follow();
    expect([shown(), part("frame").hidden, made.isOn]).toEqual([null, true, true]);
    made.step(1);
    expect(shown()).toBe("wide");
    stops = stops.slice(1);
    made.step(-1);
    expect(shown()).toBe("m9");
  });

  it("ends when it is left, and where there is nothing to show", () => {
    stops = at(0);
    const made = tour();
    made.step(1);
    expect([made.leave(), shown(), spoken(), made.leave()]).toEqual([true, null, "", false]);
    made.step(1);
    stops = [];
    expect([made.step(1), shown(), made.isOn]).toEqual([false, null, false]);
  });
});
