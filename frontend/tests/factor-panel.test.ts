// @vitest-environment happy-dom
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { FactorPanel } from "../src/panels/factor-panel";
import { switched, type Choice, type Visibility } from "../src/studies/factor-visibility";
import type { Factor } from "../src/studies/factor-catalog";

const feature = (key: string, label: string) => ({ key, label, defaultVisible: true });
const CATALOG: readonly Factor[] = [
  {
    ...feature("pivot", "Pivot"),
    subFeatures: [feature("pivot.major", "Major"), feature("pivot.minor", "Minor")],
  },
  { ...feature("pen", "Pen"), subFeatures: [feature("pen.confirmed", "Confirmed")] },
  { ...feature("plain", "Plain"), subFeatures: [] },
];

let root: HTMLElement;
let panel: FactorPanel;
let visibility: Visibility;

beforeEach(() => {
  vi.useFakeTimers();
  root = document.createElement("div");
  document.body.replaceChildren(root);
  visibility = new Map([["pivot.minor", false]]);
  panel = build(CATALOG);
});

afterEach(() => vi.useRealTimers());

let notify: () => void;

function build(features: readonly Factor[] | (() => readonly Factor[])): FactorPanel {
  notify = () => undefined;
  return new FactorPanel(root, {
    get features(): readonly Factor[] {
      return typeof features === "function" ? features() : features;
    },
    visibility: () => visibility,
    choose(choice: Choice) {
      visibility = switched(visibility, choice);
      notify();
    },
    subscribe: (listener) => {
      notify = listener;
      return () => undefined;
    },
  });
}

function find<Kind extends HTMLElement>(selector: string): Kind {
  const node = root.querySelector<Kind>(selector);
  if (node === null) throw new Error(`no ${selector}`);
  return node;
}

const toggle = (key: string): HTMLElement => find(`.factor-toggle[data-feature="${key}"]`);
const box = (key: string): HTMLInputElement => find(`input[data-feature="${key}"]`);
const list = (key: string): HTMLElement => find(`#factor-list-${key}`);
const opener = (key: string): HTMLElement => find(`[aria-controls="factor-list-${key}"]`);

function point(key: string, type: string, pointerType = "mouse"): void {
  const event = new PointerEvent(type, { pointerType } as PointerEventInit);
  find(`.factor[data-factor="${key}"]`).dispatchEvent(event);
}

function press(node: HTMLElement, key: string): void {
  node.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
}

describe("FactorPanel", () => {
  it("has a chip for each factor in the catalog's order", () => {
    const labels = [...root.querySelectorAll(".factor-toggle")].map((node) => node.textContent);
    expect(labels).toEqual(["Pivot", "Pen", "Plain"]);
    expect(opener("pivot").textContent).toBe("1/2");
    expect(root.querySelectorAll(".factor-opener").length).toBe(2);
  });

  it("is hidden while there is nothing to switch", () => {
    root = document.createElement("div");
    root.hidden = true;
    build([]);
    expect(root.hidden).toBe(true);
  });

  it("keeps its chips, and the focus on them, when the server's catalog arrives", () => {
    root = document.createElement("div");
    document.body.replaceChildren(root);
    let declared: readonly Factor[] = CATALOG.slice(0, 1);
    build(() => declared);
    const first = toggle("pivot");
    first.focus();
    declared = CATALOG;
    notify();
    expect([toggle("pivot"), document.activeElement]).toEqual([first, first]);
    expect(root.querySelectorAll(".factor").length).toBe(3);
  });

  it("switches a factor with a click", () => {
    toggle("pen").click();
    expect([visibility.get("pen"), toggle("pen").getAttribute("aria-pressed")]).toEqual([
      false,
      "false",
    ]);
    toggle("pen").click();
    expect(visibility.get("pen")).toBe(true);
  });

  it("switches a factor on with its sub-feature", () => {
    toggle("pivot").click();
    box("pivot.minor").click();
    expect([visibility.get("pivot"), visibility.get("pivot.minor")]).toEqual([true, true]);
    expect([toggle("pivot").getAttribute("aria-pressed"), opener("pivot").textContent]).toEqual([
      "true",
      "2/2",
    ]);
  });

  it("opens its list under the mouse and closes it a moment after", () => {
    point("pivot", "pointerenter");
    opener("pivot").click(); // The click that follows the pointer must not close it.
    expect([list("pivot").hidden, opener("pivot").getAttribute("aria-expanded")]).toEqual([
      false,
      "true",
    ]);
    point("pivot", "pointerleave");
    vi.advanceTimersByTime(139);
    expect(list("pivot").hidden).toBe(false);
    vi.advanceTimersByTime(1);
    expect(list("pivot").hidden).toBe(true);
  });

  it("opens its list by touch, one at a time", () => {
    point("pivot", "pointerenter", "touch");
    expect(list("pivot").hidden).toBe(true);
    opener("pivot").click();
    opener("pen").click();
    expect([list("pivot").hidden, list("pen").hidden]).toEqual([true, false]);
    document.body.dispatchEvent(new PointerEvent("pointerdown", { bubbles: true }));
    expect(list("pen").hidden).toBe(true);
  });

  it("can be used with the keyboard", () => {
    toggle("pivot").focus();
    press(toggle("pivot"), "ArrowDown");
    expect(document.activeElement).toBe(box("pivot.major"));
    press(box("pivot.major"), "ArrowDown");
    press(box("pivot.minor"), "ArrowDown");
    expect(document.activeElement).toBe(box("pivot.minor"));
    press(box("pivot.minor"), "Escape");
    expect([list("pivot").hidden, document.activeElement]).toEqual([true, opener("pivot")]);
  });

  it("shows how many drawings of each feature are on the chart", () => {
    panel.count({ "pivot.major": ["a", "b"] });
    const figures = [...list("pivot").querySelectorAll(".factor-count")];
    expect(figures.map((node) => node.textContent)).toEqual(["2", "0"]);
  });

  it("has the ink of its drawings", () => {
    const drawn = { ...feature("mean.line", "Line"), look: { color: "violet" } };
    const plain = { ...feature("mean.mark", "Mark"), look: { color: "#123456" } };
    build([{ ...feature("mean", "Mean"), subFeatures: [plain, drawn] }, ...CATALOG]);
    const hue = (key: string): string =>
      find(`.factor[data-factor="${key}"]`).style.getPropertyValue("--hue");
    expect([hue("mean"), hue("pivot")]).toEqual(["var(--ink-violet)", ""]);
  });
});
