// @vitest-environment happy-dom
import { expect, it } from "vitest";

import { DrawingTip } from "../src/drawings/drawing-tip";

it("changes nothing on the page when it is hidden already", () => {
  const parent = document.createElement("div");
  const tip = new DrawingTip(parent);
  const seen = new MutationObserver(() => undefined);
  seen.observe(parent, { attributes: true, subtree: true });
  tip.hide();
  expect(seen.takeRecords()).toEqual([]);
  tip.show({ title: "R", prices: "", description: "" }, 1, 1);
  tip.hide();
  expect(seen.takeRecords().some(({ attributeName }) => attributeName === "hidden")).toBe(true);
});
