import { describe, expect, it } from "vitest";

import { inkOn } from "../src/drawings/ink";

describe("inkOn", () => {
  it.each([
    ["white on white", "#ffffff", "#fff", "#0f172a"],
    ["white on black", "#ffffff", "#0b0f14", "#ffffff"],
    ["amber on white", "#f59e0b", "#ffffff", "#f59e0b"],
    ["black on black", "#111", "#0b0f14", "#0f172a"],
    ["another notation", "rgb(255 255 255 / 50%)", "#ffffff", "rgb(255 255 255 / 50%)"],
  ])("%s", (_, color, background, shown) => {
    expect(inkOn(background, "#0f172a")(color)).toBe(shown);
  });
});
