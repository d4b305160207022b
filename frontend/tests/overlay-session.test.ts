import { beforeEach, describe, expect, it } from "vitest";

import { ApiError } from "trade-canvas-client/http";
import { OverlaySession, type OverlayStep } from "../src/drawings/overlay-session";
import { FakeClock, settle } from "../../clients/typescript/tests/fakes/clock";
import { conflict, delta, FakeDrawings, missing, version } from "./fakes/drawings";
import { unreachable } from "../../clients/typescript/tests/fakes/server";
import type { DrawDelta, InstructionVersion } from "trade-canvas-client/instruction";

const SERIES = "sim:spot:BTC/USDT:1m";
const BASELINE = `baseline ${SERIES}`;
const DEBOUNCE_MS = 1_000;
let clock: FakeClock;
let server: FakeDrawings;
let steps: OverlayStep[];
let session: OverlaySession;

beforeEach(() => {
  clock = new FakeClock();
  server = new FakeDrawings();
  steps = [];
  session = open(SERIES);
});

function open(seriesId: string): OverlaySession {
  const dependencies = { api: server, clock, random: () => 0.5 };
  const opened = new OverlaySession(seriesId, dependencies, (step) => steps.push(step));
  opened.start();
  return opened;
}

const shown = (): readonly string[] => steps.at(-1)?.drawings.activeIds ?? [];
const status = (): string | undefined => steps.at(-1)?.status;

/** A session that has drawn "a" for the candle at 60. */
async function drawn(): Promise<void> {
  server.baselines.push(delta(60, [version(5, "a")]));
  session.candleClosed(60);
  await settle();
  server.asked.length = 0;
}

describe("the baseline", () => {
  it("is read once there is a candle", async () => {
    await clock.advance(60_000);
    expect([server.asked, status()]).toEqual([[], "loading"]);
    server.baselines.push(delta(60, [version(5, "a")]));
    session.candleClosed(60);
    await clock.advance(60_000);
    expect([server.asked, status(), shown()]).toEqual([[BASELINE], "ready", ["a"]]);
  });

  it("is requested again, later each time, while the ledger is behind", async () => {
    server.baselines.push(...Array.from({ length: 7 }, conflict), delta(60, [version(1, "a")]));
    session.candleClosed(60);
    await clock.advance(200 + 400 + 600 + 800 + 1000);
    expect([server.asked.length, status()]).toEqual([6, "loading"]);
    await clock.advance(1200);
    expect([server.asked.length, status()]).toEqual([7, "behind"]);
    await clock.advance(5_000);
    expect([server.asked.length, status(), shown()]).toEqual([8, "ready", ["a"]]);
  });

  it.each(["no_data", "no_overlay"])("is requested again later after %s", async (detail) => {
    server.baselines.push(missing(detail), delta(60, [version(1, "a")]));
    session.candleClosed(60);
    await settle();
    expect([status(), shown()]).toEqual(["empty", []]);
    await clock.advance(30_000);
    expect([status(), shown()]).toEqual(["ready", ["a"]]);
  });

  it("of an empty series is read with its next candle", async () => {
    server.baselines.push(missing("no_overlay"), delta(120, [version(1, "a")]));
    session.candleClosed(60);
    await settle();
    session.candleClosed(120);
    await clock.advance(DEBOUNCE_MS);
    expect([server.asked, status()]).toEqual([[BASELINE, BASELINE], "ready"]);
  });

  it("is not requested again where the server does not draw", async () => {
    server.baselines.push(missing("Not Found"));
    session.candleClosed(60);
    await settle();
    session.candleClosed(120);
    session.rewritten();
    await clock.advance(120_000);
    expect([server.asked, status()]).toEqual([[BASELINE], "off"]);
  });

  it("is retried after an error, with growing pauses", async () => {
    server.baselines.push(unreachable(), unreachable(), delta(60, [version(1, "a")]));
    session.candleClosed(60);
    await settle();
    expect(status()).toBe("error");
    await clock.advance(749);
    expect(server.asked.length).toBe(1);
    await clock.advance(1 + 1_500);
    expect([server.asked.length, status()]).toEqual([3, "ready"]);
  });
});

describe("deltas", () => {
  it("follow a closed candle from the cursor on", async () => {
    await drawn();
    server.deltas.push(delta(120, [version(6, "b")], ["a", "b"]), delta(180, [version(7, "c")]));
    session.candleClosed(120);
    await clock.advance(DEBOUNCE_MS);
    expect([server.asked, shown()]).toEqual([["after 5"], ["a", "b"]]);
    session.candleClosed(180);
    await clock.advance(DEBOUNCE_MS);
    expect(server.asked).toEqual(["after 5", "after 6"]);
  });

  it("are requested once for several candles in a row", async () => {
    await drawn();
    for (const time of [120, 180, 240]) session.candleClosed(time);
    await clock.advance(DEBOUNCE_MS);
    expect(server.asked).toEqual(["after 5"]);
  });

  it("are not requested when the drawings are up to date", async () => {
    await drawn();
    session.candleClosed(60);
    await clock.advance(DEBOUNCE_MS);
    expect(server.asked).toEqual([]);
  });

  it("are read one at a time", async () => {
    await drawn();
    server.held = true;
    server.deltas.push(delta(120, [version(6, "b")]), delta(180, [version(7, "c")]));
    session.candleClosed(120);
    await clock.advance(DEBOUNCE_MS);
    session.candleClosed(180);
    await clock.advance(10 * DEBOUNCE_MS);
    expect(server.asked).toEqual(["after 5"]);
    server.release();
    await clock.advance(DEBOUNCE_MS);
    expect([server.asked, shown()]).toEqual([["after 5", "after 6"], ["c"]]);
  });

  it("are requested again at once when an answer may be truncated", async () => {
    await drawn();
    const full = Array.from({ length: 50_000 }, (_, index) => version(6 + index, "b"));
    server.deltas.push(delta(120, full, ["a", "b"]), delta(120, [version(60_000, "c")]));
    session.candleClosed(120);
    await clock.advance(DEBOUNCE_MS);
    expect([server.asked, shown()]).toEqual([["after 5", "after 50005"], ["c"]]);
  });

  it("keep the drawings while the ledger is behind, and arrive later", async () => {
    await drawn();
    server.deltas.push(conflict(), conflict(), delta(120, [version(6, "b")], ["a", "b"]));
    session.candleClosed(120);
    await clock.advance(400);
    expect([status(), shown()]).toEqual(["ready", ["a"]]);
    await clock.advance(DEBOUNCE_MS);
    expect([server.asked, shown()]).toEqual([["after 5", "after 5", "after 5"], ["a", "b"]]);
  });

  it("are replaced by a baseline after an error; the drawings stay until then", async () => {
    await drawn();
    server.deltas.push(new ApiError(500, "http_500", "broken"));
    server.baselines.push(delta(120, [version(9, "z")]));
    session.candleClosed(120);
    await clock.advance(400);
    expect([status(), shown()]).toEqual(["error", ["a"]]);
    await clock.advance(1_000);
    expect([server.asked, shown()]).toEqual([["after 5", BASELINE], ["z"]]);
  });
});

describe("a rewritten ledger", () => {
  it("is read again, once for several notices", async () => {
    await drawn();
    server.baselines.push(delta(60, [version(40, "z")]));
    session.rewritten();
    session.rewritten();
    session.candleClosed(60);
    expect(shown()).toEqual(["a"]);
    await clock.advance(DEBOUNCE_MS);
    expect([server.asked, shown()]).toEqual([[BASELINE], ["z"]]);
  });

  it("is read again also when the notice comes during a read", async () => {
    await drawn();
    server.held = true;
    server.deltas.push(delta(120, [version(6, "stale")]));
    server.baselines.push(delta(120, [version(40, "z")]));
    session.candleClosed(120);
    await clock.advance(DEBOUNCE_MS);
    session.rewritten();
    server.release();
    await clock.advance(DEBOUNCE_MS);
    expect([server.asked, shown()]).toEqual([["after 5", BASELINE], ["z"]]);
  });
});

describe("changes that the server sends", () => {
  const GREETING_MS = 3_000;
  const LATE_MS = 5_000;

  function cursor(value: number | null, generation = "g"): void {
    session.pushed({ type: "draw_cursor", series_id: SERIES, cursor: value, generation });
  }

  function change(
    previousCursor: number,
    toTime: number,
    patch: readonly InstructionVersion[],
    { removedIds = [] as string[], generation = "g" } = {},
  ): void {
    const cursor = Math.max(previousCursor + 1, ...patch.map((each) => each.versionId + 1));
    const made = { previousCursor, cursor, toTime, patch, points: new Map(), removedIds };
    session.pushed({ type: "draw_delta", series_id: SERIES, change: made, generation });
  }

  /** Has drawn "a" for the candle at 60 and follows the socket from cursor 5. */
  async function followed(): Promise<void> {
    await drawn();
    session.connected(true);
    cursor(5);
    await clock.advance(2 * GREETING_MS);
  }

  it("are applied without a request, in the order of the server's ids", async () => {
    await followed();
    session.candleClosed(120);
    change(5, 120, [version(7, "c"), version(8, "b")]);
    session.candleClosed(180);
    change(9, 180, [], { removedIds: ["c"] });
    await clock.advance(60_000);
    expect([server.asked, shown(), status()]).toEqual([[], ["a", "b"], "ready"]);
    expect(steps.at(-1)?.drawings).toMatchObject({ cursor: 10, toTime: 180 });
  });

  it("are expected right after a candle while the server sends them and nothing is read", async () => {
    await drawn();
    session.connected(true);
    expect(session.expectsChange).toBe(false);
    cursor(5);
    expect(session.expectsChange).toBe(true);
    cursor(null);
    expect(session.expectsChange).toBe(false);
    cursor(5);
    session.connected(false);
    expect(session.expectsChange).toBe(false);
  });

  it("are ignored when they came with a read", async () => {
    await followed();
    change(3, 60, [version(4, "old")]);
    await clock.advance(60_000);
    expect([server.asked, shown()]).toEqual([[], ["a"]]);
  });

  it("that were missed are asked for once", async () => {
    await followed();
    server.deltas.push(delta(180, [version(9, "b")], ["a", "b"]));
    change(7, 180, [version(9, "c")]);
    change(10, 240, [version(11, "d")]);
    await clock.advance(DEBOUNCE_MS);
    expect([server.asked, shown()]).toEqual([["after 5"], ["a", "b"]]);
    change(9, 240, [version(12, "e")]);
    expect([server.asked, shown()]).toEqual([["after 5"], ["a", "b", "e"]]);
  });

  it("wait for a read, and go on from it", async () => {
    await followed();
    server.held = true;
    server.deltas.push(delta(180, [version(9, "b")], ["a", "b"]));
    cursor(9);
    await clock.advance(DEBOUNCE_MS);
    change(5, 120, [version(6, "b")]);
    change(9, 240, [version(12, "c")]);
    server.release();
    await clock.advance(DEBOUNCE_MS);
    expect([server.asked, shown()]).toEqual([["after 5"], ["a", "b", "c"]]);
  });

  it("that arrive during the first read are applied after it", async () => {
    server.held = true;
    server.baselines.push(delta(60, [version(5, "a")]));
    session.candleClosed(60);
    session.connected(true);
    cursor(5);
    change(5, 120, [version(7, "b")]);
    server.release();
    await clock.advance(60_000);
    expect([server.asked, shown()]).toEqual([[BASELINE], ["a", "b"]]);
  });

  it("that do not arrive are asked for", async () => {
    await followed();
    server.deltas.push(delta(120, [version(9, "b")], ["a", "b"]));
    session.candleClosed(120);
    await clock.advance(LATE_MS - 1);
    expect(server.asked).toEqual([]);
    await clock.advance(DEBOUNCE_MS);
    expect([server.asked, shown()]).toEqual([["after 5"], ["a", "b"]]);
  });

  it("are not waited for where the server sends none", async () => {
    await drawn();
    session.connected(true);
    server.deltas.push(delta(120, [version(9, "b")], ["a", "b"]));
    session.candleClosed(120);
    await clock.advance(GREETING_MS - 1);
    expect(server.asked).toEqual([]);
    await clock.advance(DEBOUNCE_MS);
    session.candleClosed(180);
    await clock.advance(DEBOUNCE_MS);
    expect(server.asked).toEqual(["after 5", "after 9"]);
  });

  it("continue after a short loss of the connection without a request", async () => {
    await followed();
    session.connected(false);
    session.connected(true);
    session.rewritten();
    cursor(5);
    await clock.advance(60_000);
    expect(server.asked).toEqual([]);
  });

  it("that were missed while disconnected are asked for once", async () => {
    await followed();
    session.connected(false);
    session.connected(true);
    session.rewritten();
    server.deltas.push(delta(300, [version(9, "b")], ["a", "b"]));
    cursor(9);
    await clock.advance(60_000);
    expect([server.asked, shown()]).toEqual([["after 5"], ["a", "b"]]);
  });

  it("are replaced by a baseline where the server sends none after a reconnect", async () => {
    await drawn();
    session.connected(true);
    session.rewritten();
    await clock.advance(GREETING_MS + DEBOUNCE_MS);
    expect(server.asked).toEqual([BASELINE]);
  });

  it("show that the drawings are behind, and come back", async () => {
    await followed();
    cursor(null);
    session.candleClosed(120);
    await clock.advance(60_000);
    expect([server.asked, status(), shown()]).toEqual([[], "behind", ["a"]]);
    server.deltas.push(delta(120, [version(9, "b")], ["a", "b"]));
    cursor(9);
    await clock.advance(DEBOUNCE_MS);
    expect([server.asked, status(), shown()]).toEqual([["after 5"], "ready", ["a", "b"]]);
  });

  it("of another past are replaced by a baseline", async () => {
    server.baselines.push({ ...delta(60, [version(5, "a")]), generation: "g" } as DrawDelta);
    session.candleClosed(60);
    await settle();
    session.connected(true);
    server.baselines.push(delta(60, [version(3, "z")]));
    cursor(5, "another");
    await clock.advance(2 * DEBOUNCE_MS);
    expect([server.asked, shown()]).toEqual([[BASELINE, BASELINE], ["z"]]);
  });

  it("that wait are bounded", async () => {
    await followed();
    server.held = true;
    server.deltas.push(delta(120, [version(6, "b")], ["a", "b"]), null);
    cursor(6);
    await clock.advance(DEBOUNCE_MS);
    for (let index = 0; index < 200; index += 1) change(6 + index, 180, []);
    server.release();
    await clock.advance(DEBOUNCE_MS);
    expect(server.asked.length).toBeLessThanOrEqual(2);
    expect(server.asked.at(-1)).not.toBe("after 5");
  });
});

describe("a stopped session", () => {
  it("drops a late answer", async () => {
    server.held = true;
    server.baselines.push(delta(60, [version(1, "of the series before")]));
    session.candleClosed(60);
    await settle();
    session.stop();
    const other = open("sim:spot:ETH/USDT:1m");
    server.release();
    await settle();
    expect([status(), shown()]).toEqual(["loading", []]);
    server.baselines.push(delta(60, [version(2, "b")]));
    other.candleClosed(60);
    await settle();
    expect(shown()).toEqual(["b"]);
  });

  it("reads nothing", async () => {
    await drawn();
    session.candleClosed(120);
    session.stop();
    session.rewritten();
    await clock.advance(60_000);
    expect([server.asked, clock.pending]).toEqual([[], 0]);
  });
});
