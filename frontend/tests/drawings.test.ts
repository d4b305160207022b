import { describe, expect, it } from "vitest";

import {
  activeDrawings,
  applyChange,
  applyDelta,
  fromBaseline,
  NO_DRAWINGS,
} from "../src/drawings/drawings";
import {
  parseDrawChange,
  parseDrawDelta,
  type DrawDelta,
  type InstructionVersion,
} from "trade-canvas-client/instruction";
import { delta, grownLine, line, mark, version } from "./fakes/drawings";
import { seededRandom } from "../../clients/typescript/tests/fakes/candles";

const ids = (drawings: typeof NO_DRAWINGS): string[] =>
  activeDrawings(drawings).map(({ id }) => id);

describe("applyChange", () => {
  const shown = fromBaseline(delta(60, [version(1, "a"), version(2, "c")]));
  const between = { previousCursor: 2, cursor: 5, toTime: 120, points: new Map() };

  it("shows what the patch brings and hides what it names, in the order of ids", () => {
    const patch = [version(3, "b"), version(4, "a", null)];
    const after = applyChange(shown, { ...between, patch, removedIds: ["a"] });
    expect([after.activeIds, after.cursor, after.toTime]).toEqual([["b", "c"], 5, 120]);
    expect([...after.catalog.keys()].sort()).toEqual(["b", "c"]);
  });

  it("keeps the ids where only versions are new", () => {
    const after = applyChange(shown, { ...between, patch: [version(3, "c")], removedIds: [] });
    expect(after.activeIds).toBe(shown.activeIds);
    expect(after.catalog.get("c")?.versionId).toBe(3);
  });

  it("makes the drawings of a message what an answer with all ids makes them", () => {
    const patch = [
      { version_id: 3, instruction_id: "b", kind: "x", visible_time: 120, definition: {} },
    ];
    const message = { previous_cursor: 2, cursor: 5, to_candle_time: 120, removed_ids: ["c"] };
    const change = parseDrawChange({ ...message, instruction_catalog_patch: patch });
    if (change === null) throw new Error("expected a change");
    const answer = { ...delta(120, change.patch, ["a", "b"]), cursor: 5 };
    expect(applyChange(shown, change)).toEqual(applyDelta(shown, answer));
    for (const name of ["previous_cursor", "cursor", "to_candle_time", "removed_ids"]) {
      const malformed = { ...message, instruction_catalog_patch: patch, [name]: "x" };
      expect(parseDrawChange(malformed)).toBeNull();
    }
  });
});

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

describe("points of lines", () => {
  const mean = (versionId: number, visibleTime: number, start: number): InstructionVersion => ({
    ...version(versionId, "mean", grownLine([], { start })),
    visibleTime,
  });
  const gains = (toTime: number, times: number[], ...patch: InstructionVersion[]): DrawDelta => ({
    ...delta(toTime, patch, ["mean"]),
    points: new Map([["mean", times.map((time) => ({ time, value: time + toTime / 1000 }))]]),
  });
  const shown = (drawings: typeof NO_DRAWINGS): (readonly [number, number])[] => {
    const [drawing] = activeDrawings(drawings);
    if (drawing?.definition.type !== "line") return [];
    return drawing.definition.points.map(({ time, value }) => [time, value]);
  };
  const begun = fromBaseline(gains(120, [60, 120], mean(1, 60, 60)));

  it("grow by what each delta has", () => {
    expect(shown(applyDelta(begun, gains(180, [180])))).toEqual([
      [60, 60.12],
      [120, 120.12],
      [180, 180.18],
    ]);
  });

  it("are the same when a delta is applied twice", () => {
    const delta180 = gains(180, [180], mean(4, 180, 60));
    const once = applyDelta(begun, delta180);
    expect(applyDelta(once, delta180)).toEqual(once);
  });

  it("end where a new version begins, as after a revision", () => {
    const revised = applyDelta(begun, gains(180, [180], mean(5, 120, 60)));
    expect(shown(revised).map(([time]) => time)).toEqual([60, 180]);
  });

  it("before the start of the line are of an earlier one", () => {
    const anew = applyDelta(begun, gains(240, [180, 240], mean(5, 240, 240)));
    expect(shown(anew).map(([time]) => time)).toEqual([240]);
  });

  it("are dropped with their line, and when there are very many", () => {
    expect(applyDelta(begun, delta(180, [], [])).points.size).toBe(0);
    const many = Array.from({ length: 9_000 }, (_, index) => 180 + 60 * index);
    expect(shown(applyDelta(begun, gains(1e6, many))).length).toBe(4_000);
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

  it("reads boxes, labels and lines with their points", () => {
    const stroke = { color: "violet", lineWidth: 2, title: "What it is" };
    const given = [
      { type: "box", feature: "f", start: 60, end: 120, top: 2, bottom: 1, ...stroke },
      { type: "label", feature: "f", time: 60, value: 1, text: "here", place: "above", color: "text" },
      { type: "line", feature: "f", start: 60, end: 120, lineStyle: "dashed", ...stroke },
    ];
    const body = answer(given.map(item)) as Record<string, unknown>;
    const parsed = parseDrawDelta({ ...body, series_points: { a: [[60, 1.5], [120, 2]] } });
    expect(parsed?.patch.map(({ definition }) => definition)).toEqual([
      { ...given[0], fill: null, dashed: false, extendRight: false },
      { ...given[1], title: "" },
      { type: "line", feature: "f", start: 60, points: [], dashed: true, ...stroke },
    ]);
    expect(parsed?.points.get("a")).toEqual([
      { time: 60, value: 1.5 },
      { time: 120, value: 2 },
    ]);
  });

  it.each([[[1]], [{ a: 1 }], [{ a: [[60]] }], [{ a: [[60, "1"]] }], [{ a: [null] }]])(
    "makes nothing of an answer with the points %j",
    (points) => {
      const body = answer([]) as Record<string, unknown>;
      expect(parseDrawDelta({ ...body, series_points: points })).toBeNull();
    },
  );

  it.each([
    [{}],
    [{ type: "box", feature: "f", color: "red", start: 60, end: 120, top: 1 }],
    [{ type: "label", feature: "f", color: "red", time: 60, value: 1 }],
    [{ type: "line", feature: "f", color: "red" }],
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
