import { describe, expect, it } from "vitest";

import { parseCatalog, type Factor } from "../src/studies/factor-catalog";
import { isVisible, switched, withDefaults } from "../src/studies/factor-visibility";

const PIVOT: Factor = {
  key: "pivot",
  label: "Pivot",
  defaultVisible: true,
  subFeatures: [
    { key: "pivot.major", label: "Major", defaultVisible: true },
    { key: "pivot.minor", label: "Minor", defaultVisible: false },
  ],
};

describe("withDefaults", () => {
  it("uses the catalog's default for new keys, and the user's choice for others", () => {
    const visibility = withDefaults(new Map([["pivot.major", false]]), [PIVOT]);
    expect(Object.fromEntries(visibility)).toEqual({
      pivot: true,
      "pivot.major": false,
      "pivot.minor": false,
    });
  });
});

describe("switched", () => {
  const off = new Map([
    ["pivot", false],
    ["pivot.minor", false],
  ]);

  it("switches the factor on with its sub-feature", () => {
    const next = switched(off, { key: "pivot.minor", on: true });
    expect([next.get("pivot"), next.get("pivot.minor")]).toEqual([true, true]);
    expect(off.get("pivot")).toBe(false);
  });

  it("leaves the factor off when a sub-feature is switched off", () => {
    expect(switched(off, { key: "pivot.minor", on: false }).get("pivot")).toBe(false);
  });

  it("leaves the sub-features as they are when the factor is switched", () => {
    const next = switched(off, { key: "pivot", on: true });
    expect([next.get("pivot"), next.get("pivot.minor")]).toEqual([true, false]);
  });
});

describe("isVisible", () => {
  it.each([
    [{}, true],
    [{ pivot: true, "pivot.major": true }, true],
    [{ "pivot.major": false }, false],
    [{ pivot: false }, false],
    [{ pivot: false, "pivot.major": true }, false],
  ])("of pivot.major with %j is %s", (switches, visible) =>
    expect(isVisible(new Map(Object.entries(switches)), "pivot.major")).toBe(visible),
  );
});

describe("parseCatalog", () => {
  it("keeps the server's order and skips malformed entries", () => {
    const sub = [{ key: "a.x", label: "X", default_visible: false }, { label: "nameless" }];
    const factors = [{ key: "b", label: "B" }, null, { key: "a", label: "A", sub_features: sub }];
    expect(parseCatalog({ factors })).toEqual([
      { key: "b", label: "B", defaultVisible: true, subFeatures: [] },
      {
        key: "a",
        label: "A",
        defaultVisible: true,
        subFeatures: [{ key: "a.x", label: "X", defaultVisible: false }],
      },
    ]);
  });

  it.each([null, {}, { factors: 1 }])("rejects %j", (value) =>
    expect(parseCatalog(value)).toBeNull(),
  );
});
