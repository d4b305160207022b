import { beforeEach, describe, expect, it } from "vitest";

import { ApiError } from "trade-canvas-client/http";
import { joined, OlderDrawings, type OlderStep } from "../src/drawings/older-drawings";
import { FakeClock, settle } from "../../clients/typescript/tests/fakes/clock";
import {
  conflict,
  delta,
  FakeDrawings,
  grownLine,
  line,
  looksWith,
  mark,
  version,
} from "./fakes/drawings";
import { NO_LOOKS, type Looks } from "../src/drawings/look";
import { unreachable } from "../../clients/typescript/tests/fakes/server";
import type { Drawing } from "../src/drawings/drawings";
import type { Definition, DrawDelta } from "trade-canvas-client/instruction";

const SERIES = { id: "sim:spot:BTC/USDT:1s", step: 1 };
/** Live drawings from 4500 on, candles from 100 on. */
const VIEW = { from: 4500, first: 100, liveFrom: 4500 };
let clock: FakeClock;
let server: FakeDrawings;
let steps: OlderStep[];
let older: OlderDrawings;
let looks: Looks;

const LOOKS = looksWith({
  "now.only": { momentary: true },
  "pen.confirmed": { chained: true },
});

beforeEach(() => {
  clock = new FakeClock();
  server = new FakeDrawings();
  steps = [];
  looks = LOOKS;
  const dependencies = { api: server, clock, random: () => 0.5 };
  older = new OlderDrawings(SERIES, dependencies, () => looks, (step) => steps.push(step));
});

const ids = (): string[] => (steps.at(-1)?.drawings ?? []).map(({ id }) => id).sort();
const status = (): string | undefined => steps.at(-1)?.status;
const past = (id: string, definition?: Definition): DrawDelta =>
  delta(0, [version(1, id, definition)]);

async function look(from: number, more: Partial<typeof VIEW> = {}): Promise<void> {
  older.look({ ...VIEW, from, ...more });
  await settle();
}

describe("older drawings", () => {
  it("join a line once while its parts are the same, and anew with other looks", () => {
    const [newer, before] = [line("pen.confirmed", [60, 120]), line("pen.confirmed", [0, 60])];
    const whole = (of: Looks): Definition | undefined =>
      joined([[{ id: "a", definition: newer }], [{ id: "a", definition: before }]], of)[0]?.definition;
    expect(whole(LOOKS)).toMatchObject({ points: [{ time: 0 }, { time: 60 }, { time: 120 }] });
    expect(whole(LOOKS)).toBe(whole(LOOKS));
    expect(whole(NO_LOOKS)).toBe(newer);
  });

  it("are not requested while the live ones cover the view", async () => {
    await look(5001);
    expect([server.asked, steps]).toEqual([[], []]);
  });

  it("are read from the newest missing stretch back to the one in view, each once", async () => {
    server.pasts.push(past("c"), past("b"));
    await look(3500);
    expect([server.asked, ids(), status()]).toEqual([["at 5000", "at 4000"], ["b", "c"], "complete"]);
    await look(3400);
    await look(4700);
    expect(server.asked.length).toBe(2);
    await look(2999);
    expect(server.asked.slice(2)).toEqual(["at 3000"]);
  });

  it("are not requested before the first candle", async () => {
    await look(-Infinity, { first: 4200 });
    expect(server.asked).toEqual(["at 5000"]);
  });

  it("replace what the live ones drop in a long session", async () => {
    await look(4400);
    await look(4400, { liveFrom: 6100 });
    expect(server.asked).toEqual(["at 5000", "at 7000", "at 6000"]);
  });

  it("leave out what was valid at one candle only", async () => {
    const versions = [
      version(1, "mark"),
      version(2, "now.only", line("now.only", [10, 20])),
      version(3, "open", { ...line("new.factor", [10, 20]), extendRight: true } as Definition),
      version(4, "closed", line("new.factor", [10, 20])),
    ];
    server.pasts.push(delta(4000, versions));
    await look(4600);
    expect(ids()).toEqual(["closed", "mark"]);
  });

  it("are what lasts by the catalog, also when it arrives later", async () => {
    looks = NO_LOOKS;
    server.pasts.push(delta(4000, [version(1, "mark"), version(2, "now", line("now.only", [1, 2]))]));
    await look(4600);
    expect(ids()).toEqual(["mark", "now"]);
    looks = LOOKS;
    older.relook();
    expect([ids(), status()]).toEqual([["mark"], "complete"]);
  });

  it("are dropped together with their candles", async () => {
    server.pasts.push(past("c"), past("b"));
    await look(3500);
    server.pasts.push(past("d"));
    await look(5500, { first: 4600, liveFrom: 6500 });
    expect([server.asked.at(-1), ids()]).toEqual(["at 6000", ["c", "d"]]);
  });

  it("are retried with growing pauses, and report that meanwhile", async () => {
    server.pasts.push(unreachable(), conflict(), past("c"));
    await look(4600);
    expect([server.asked.length, status()]).toEqual([1, "failed"]);
    await look(4500);
    expect(server.asked.length).toBe(1);
    await clock.advance(750);
    expect([server.asked.length, status()]).toEqual([2, "failed"]);
    await clock.advance(1_500);
    expect([server.asked.length, status(), ids()]).toEqual([3, "complete", ["c"]]);
  });

  it("are not requested again after a refusal, until the ledger is rewritten", async () => {
    server.pasts.push(new ApiError(422, "validation_error", "no"));
    await look(4600);
    await look(4600);
    await clock.advance(600_000);
    expect([server.asked.length, status()]).toEqual([1, "failed"]);
    older.rewritten();
    await settle();
    expect([server.asked.length, status()]).toEqual([2, "complete"]);
  });

  it("are read again after a rewrite; those in view stay until then", async () => {
    server.pasts.push(past("c"), past("b"));
    await look(3500);
    await look(4600);
    server.held = true;
    server.pasts.push(past("again"));
    older.rewritten();
    await settle();
    expect([server.asked.slice(2), ids(), status()]).toEqual([["at 5000"], ["c"], "reading"]);
    server.release();
    await settle();
    expect([ids(), status()]).toEqual([["again"], "complete"]);
  });

  it("drop an answer from before a rewrite", async () => {
    server.held = true;
    server.pasts.push(past("stale"), past("fresh"));
    await look(4600);
    older.rewritten();
    server.release();
    await settle();
    expect([server.asked, ids()]).toEqual([["at 5000", "at 5000"], ["fresh"]]);
  });

  it("are not read once stopped", async () => {
    server.held = true;
    server.pasts.push(past("late"));
    await look(3500);
    const reported = steps.length;
    older.stop();
    server.release();
    await settle();
    older.rewritten();
    await clock.advance(60_000);
    expect([server.asked.length, steps.length, clock.pending]).toEqual([1, reported, 0]);
  });
});

describe("joined", () => {
  const pens = (...times: number[]): Drawing[] => [
    { id: "pen.confirmed", definition: line("pen.confirmed", times) },
  ];
  const times = (drawings: readonly Drawing[]): number[] => {
    const definition = drawings[0]?.definition;
    return definition?.type === "polyline" ? definition.points.map(({ time }) => time) : [];
  };

  it("joins the pens of stretches that meet into one line", () => {
    const made = joined([pens(50, 60, 70), pens(30, 40, 50, 60), pens(10, 30)], LOOKS);
    expect([made.length, times(made)]).toEqual([1, [10, 30, 40, 50, 60, 70]]);
  });

  it("does not bridge a missing stretch", () => {
    expect(times(joined([pens(50, 60), pens(10, 30)], LOOKS))).toEqual([50, 60]);
  });

  it("keeps the newest version of everything else", () => {
    const [old, fresh] = [mark("pivot.major", 10), mark("pivot.major", 20)];
    expect(joined([[{ id: "a", definition: fresh }], [{ id: "a", definition: old }]], LOOKS)).toEqual([
      { id: "a", definition: fresh },
    ]);
  });

  const growing = (start: number, ...times: number[]): Drawing[] => {
    const points = times.map((time) => ({ time, value: time }));
    return [{ id: "mean", definition: grownLine(points, { start }) }];
  };

  it("continues a growing line of older stretches, but not an earlier one of its id", () => {
    const made = joined([growing(10, 50, 60), growing(10, 30, 40, 50)], NO_LOOKS);
    const other = joined([growing(50, 50, 60), growing(10, 30, 40)], NO_LOOKS);
    const timesOf = ([drawing]: Drawing[]): unknown =>
      drawing?.definition.type === "line" && drawing.definition.points.map(({ time }) => time);
    expect([timesOf(made), timesOf(other)]).toEqual([
      [30, 40, 50, 60],
      [50, 60],
    ]);
  });
});
