// @vitest-environment happy-dom
import { beforeEach, expect, it, vi } from "vitest";

import { PaintedTexts, type PaintedText } from "../src/painted-text";

const calls: [string, number, number][] = [];
const fills: unknown[] = [];
const context = {
  measureText: (text: string) => ({
    width: 7 * text.length,
    fontBoundingBoxAscent: 11,
    fontBoundingBoxDescent: 3,
  }),
  fillText: (text: string, x: number, y: number) => calls.push([text, x, y]),
  set fillStyle(value: unknown) {
    fills.push(value);
  },
};
for (const name of ["clearRect", "setTransform", "save", "restore", "beginPath", "rect", "clip"]) {
  Object.assign(context, { [name]: () => undefined });
}

let root: HTMLElement;
let texts: PaintedTexts;
/** Reports the size of what is observed, as the browser does with the next frame. */
let frame: () => void;

class FakeObserver {
  private waits = false;

  constructor(report: () => void) {
    frame = () => {
      if (this.waits) report();
      this.waits = false;
    };
  }

  observe(): void {
    this.waits = true;
  }

  unobserve(): void {}
}

beforeEach(() => {
  [calls.length, fills.length] = [0, 0];
  vi.stubGlobal("ResizeObserver", FakeObserver);
  const given = (): unknown => context;
  vi.spyOn(HTMLCanvasElement.prototype, "getContext").mockImplementation(given as never);
  root = document.createElement("span");
  document.body.replaceChildren(root);
  texts = new PaintedTexts(root);
});

/** A text whose place stands so far from the left. */
function textAt(left: number): { text: PaintedText; place: HTMLCanvasElement } {
  const text = texts.add(root, 20);
  const place = root.lastElementChild as HTMLCanvasElement;
  Object.defineProperty(place, "offsetLeft", { get: () => left });
  return { text, place };
}

it("paints what changed in its place, and keeps it for screen readers", () => {
  const [price, volume] = [textAt(0), textAt(50)];
  price.text.show("100.0");
  volume.text.show("7");
  expect(calls).toEqual([]);
  frame();
  expect(calls.splice(0)).toEqual([
    ["100.0", 0, 11],
    ["7", 50, 11],
  ]);
  volume.text.show("8");
  volume.text.show("8");
  frame();
  const spoken = [price.place, volume.place].map((place) => place.getAttribute("aria-label"));
  expect([calls, spoken]).toEqual([[["8", 50, 11]], ["100.0", "8"]]);
});

it("lays nothing out while a text has room, and finds all places again when one has not", () => {
  const { text, place } = textAt(0);
  const other = textAt(80);
  other.text.show("7");
  text.show("1,000.0");
  frame();
  const written = new MutationObserver(() => undefined);
  written.observe(root, { subtree: true, attributeFilter: ["style", "width", "height"] });
  text.show("999.9");
  text.show("1,000.1");
  expect(written.takeRecords()).toEqual([]);
  calls.length = 0;
  text.show("10,000.0");
  expect([place.style.width, calls]).toEqual(["56px", []]);
  frame();
  expect(calls.map(([shown]) => shown)).toEqual(["10,000.0", "7"]);
  text.show("1.0");
  expect(place.style.width).toBe("21px");
});

it("paints no more what was removed", () => {
  const [price, volume] = [textAt(0), textAt(50)];
  price.text.show("1");
  volume.text.show("7");
  texts.remove([volume.text]);
  frame();
  expect(calls).toEqual([["1", 0, 11]]);
});

it("takes its colour from the root or from a token, again after a change of theme", () => {
  root.style.color = "rgb(1, 2, 3)";
  root.style.setProperty("--up", "rgb(4, 5, 6)");
  const { text } = textAt(0);
  text.show("1.0");
  frame();
  text.show("1.0", "--up");
  root.style.color = "rgb(3, 2, 1)";
  root.style.setProperty("--up", "rgb(7, 8, 9)");
  texts.restyle();
  expect(fills).toEqual(["rgb(1, 2, 3)", "rgb(4, 5, 6)", "rgb(7, 8, 9)"]);
});
