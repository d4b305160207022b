// @vitest-environment happy-dom
import { beforeEach, expect, it, vi } from "vitest";

import { ViewMoves } from "../src/chart/view-moves";

/** As the library: the view changes with the frame after a move, and is reported as it was until then. */
const view = { position: 0, spacing: 8, first: -1000 };
let frames: FrameRequestCallback[] = [];
let moves: ViewMoves;

beforeEach(() => {
  Object.assign(view, { position: 0, spacing: 8, first: -1000 });
  frames = [];
  vi.spyOn(window, "requestAnimationFrame").mockImplementation((run) => frames.push(run));
  moves = new ViewMoves({
    applyOptions: ({ barSpacing }) => {
      if (barSpacing !== undefined) view.spacing = barSpacing;
    },
    getVisibleLogicalRange: () => ({ from: view.position - view.first, to: 0 }) as never,
    options: () => ({ barSpacing: view.spacing }) as never,
    scrollPosition: () => view.position,
    scrollToPosition: (position) => (view.position = position),
  });
});

function nextFrame(): void {
  for (const run of frames.splice(0)) run(0);
}

it("adds up the moves of a frame", () => {
  moves.pan(-50);
  moves.pan(-50);
  moves.zoom(0.5);
  moves.zoom(0.5);
  expect(view).toMatchObject({ position: 0, spacing: 8 });
  expect(frames).toHaveLength(1);
  nextFrame();
  expect(view).toMatchObject({ position: -100, spacing: 2 });
  nextFrame();
  expect(view.position).toBe(-100);
});

it("shows the newest candle whatever was to move before", () => {
  moves.pan(-50);
  moves.toEnd(6);
  expect(view.position).toBe(6);
  nextFrame();
  expect(view.position).toBe(6);
});

it("shows the first candle however often it is asked to within a frame", () => {
  moves.pan(-20);
  moves.toStart();
  moves.toStart();
  nextFrame();
  expect(view.position).toBe(-1000);
});

it("has the normal width whatever was to be zoomed before", () => {
  moves.zoom(0.5);
  moves.setSpacing(6);
  nextFrame();
  expect(view.spacing).toBe(6);
});

it("keeps candles between the thinnest and the widest", () => {
  moves.zoom(1e-6);
  nextFrame();
  expect(view.spacing).toBe(0.5);
  moves.zoom(1e6);
  nextFrame();
  expect(view.spacing).toBe(50);
});
