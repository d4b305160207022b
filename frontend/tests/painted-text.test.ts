// @vitest-environment happy-dom
import { expect, it, vi } from "vitest";

import { PaintedText } from "../src/painted-text";

function painted() {
  const calls: string[] = [];
  const context = {
    measureText: (text: string) => ({
      width: 7 * text.length,
      fontBoundingBoxAscent: 11,
      fontBoundingBoxDescent: 3,
    }),
    clearRect: () => undefined,
    setTransform: () => undefined,
    fillText: (text: string) => calls.push(text),
  };
  vi.spyOn(HTMLCanvasElement.prototype, "getContext").mockReturnValue(context as never);
  const root = document.createElement("span");
  document.body.replaceChildren(root);
  return { text: new PaintedText(root, 20), root, context, calls };
}

it("paints a text once, and keeps it for screen readers", () => {
  const { text, root, calls } = painted();
  text.show("100.0");
  text.show("100.0");
  text.show("100.1");
  expect([root.textContent, calls]).toEqual(["100.1", ["100.0", "100.1"]]);
});

it("lays nothing out while the text has room", () => {
  const { text, root } = painted();
  text.show("1,000.0");
  const written = new MutationObserver(() => undefined);
  written.observe(root, { subtree: true, attributes: true });
  text.show("999.9");
  text.show("1,000.1");
  expect(written.takeRecords()).toEqual([]);
  text.show("10,000.0");
  const width = (): string | undefined => root.querySelector("canvas")?.style.width;
  expect(width()).toBe("56px");
  text.show("1.0");
  expect(width()).toBe("21px");
});

it("takes its colour from its place or from a token, again after a change of theme", () => {
  const { text, root, context } = painted();
  const fills: unknown[] = [];
  Object.defineProperty(context, "fillStyle", { set: (value) => fills.push(value) });
  root.style.color = "rgb(1, 2, 3)";
  root.style.setProperty("--up", "rgb(4, 5, 6)");
  text.show("1.0");
  text.show("1.0", "--up");
  root.style.setProperty("--up", "rgb(7, 8, 9)");
  text.restyle();
  expect(fills).toEqual(["rgb(1, 2, 3)", "rgb(4, 5, 6)", "rgb(7, 8, 9)"]);
});
