import { describe, expect, it } from "vitest";

import { activeDrawings, applyDelta, fromBaseline, NO_DRAWINGS } from "../src/drawings/drawings";
import { parseDrawDelta, type DrawDelta } from "../src/drawings/instruction";
import { delta, line, mark, version } from "./fakes/drawings";
import { seededRandom } from "./fakes/candles";

const ids = (drawings: typeof NO_DRAWINGS): string[] =>
  activeDrawings(drawings).map(({ id }) => id);

describe("applyDelta", () => {
  it("keeps the newest version of each instruction", () => {
    const first = applyDelta(NO_DRAWINGS, delta(60, [version(1, "a", mark("f", 60))]));
    const second = applyDelta(first, delta(120, [version(2, "a", mark("f", 120))]));
    expect(activeDrawings(second)).toEqual([{ id: "a", definition: mark("f", 120) }]);
    expect([second.cursor, second.toTime]).toEqual([2, 120]);
  });

  it("changes nothing when applied twice", () => {
    const once = applyDelta(NO_DRAWINGS, delta(60, [version(1, "a"), version(2, "a", null)], []));
    expect(applyDelta(once, delta(60, [version(1, "a"), version(2, "a", null)], []))).toEqual(once);
  });

  it("removes a withdrawn instruction", () => {
    const drawn = applyDelta(NO_DRAWINGS, delta(60, [version(1, "a"), version(2, "b")]));
    const after = applyDelta(drawn, delta(120, [version(3, "a", null)], ["b"]));
    expect(ids(after)).toEqual(["b"]);
    expect([...after.catalog.keys()]).toEqual(["b"]);
  });

  it("does not draw an active id before its version arrived", () => {
    const cutOff = applyDelta(NO_DRAWINGS, delta(60, [version(1, "a")], ["a", "b"]));
    expect(ids(cutOff)).toEqual(["a"]);
    expect(ids(applyDelta(cutOff, delta(60, [version(2, "b")], ["a", "b"])))).toEqual(["a", "b"]);
  });

  it("never moves the cursor back", () => {
    const drawn = applyDelta(NO_DRAWINGS, delta(60, [version(7, "a")]));
    expect(applyDelta(drawn, delta(120, [], ["a"])).cursor).toBe(7);
  });

  it("gives the same result however the changes are split into deltas", () => {
    const random = seededRandom(11);
    const active = new Set<string>();
    let drawn = NO_DRAWINGS;
    const all: DrawDelta["patch"][number][] = [];
    for (let id = 1; id <= 300; id += 1) {
      const name = `i${Math.floor(random() * 20)}`;
      const gone = random() < 0.4;
      if (gone) active.delete(name);
      else active.add(name);
      const made = version(id, name, gone ? null : mark("f", id * 60));
      all.push(made);
      drawn = applyDelta(drawn, delta(id * 60, [made], [...active].sort()));
    }
    expect(drawn).toEqual(fromBaseline(delta(300 * 60, all, [...active].sort())));
  });
});

describe("fromBaseline", () => {
  it("removes everything drawn before", () => {
    const before = applyDelta(NO_DRAWINGS, delta(600, [version(90, "old")]));
    const after = fromBaseline(delta(60, [version(3, "new")]));
    expect([ids(after), after.cursor, ids(before)]).toEqual([["new"], 3, ["old"]]);
  });
});

describe("parseDrawDelta", () => {
  const answer = (items: unknown): unknown => ({
    to_candle_time: 120,
    active_ids: ["a"],
    instruction_catalog_patch: items,
    next_cursor: { version_id: 4, point_time: null },
  });
  const item = (definition: unknown): unknown => ({
    version_id: 4,
    instruction_id: "a",
    definition,
  });

  it("reads lines with their optional fields, and markers", () => {
    const points = [
      { time: 60, value: 1 },
      { time: 120, value: 2.5 },
    ];
    const polyline = { type: "polyline", feature: "f", points, color: "red", lineWidth: 2 };
    const more = { lineStyle: "dashed", entryDirection: -1, extendRight: true };
    const parsed = parseDrawDelta(answer([item(polyline), item({ ...polyline, ...more })]));
    expect(parsed?.patch.map(({ definition }) => definition)).toEqual([
      { ...line("f", []), points, color: "red" },
      { ...line("f", []), points, color: "red", dashed: true, entryDirection: -1, extendRight: true },
    ]);
    expect(parseDrawDelta(answer([item(mark("f", 60))]))?.patch).toEqual([
      version(4, "a", mark("f", 60)),
    ]);
  });

  it.each([
    [{}],
    [{ type: "spiral", feature: "f", color: "red" }],
    [{ type: "polyline", feature: "f", color: "red", points: [{ time: 60, value: 1 }] }],
    [{ type: "polyline", feature: "f", color: "red", points: [{ time: 60 }, { time: 120 }] }],
    [{ type: "marker", feature: "f", color: "red", time: "60" }],
  ])("draws nothing of %j", (definition) =>
    expect(parseDrawDelta(answer([item(definition)]))?.patch[0]?.definition).toBeNull(),
  );

  it.each([null, [], {}, { ...(answer([]) as object), active_ids: [1] }, answer([{ id: 1 }])])(
    "makes nothing of %j",
    (value) => expect(parseDrawDelta(value)).toBeNull(),
  );
});
