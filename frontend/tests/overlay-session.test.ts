import { beforeEach, describe, expect, it } from "vitest";

import { ApiError } from "../src/sync/api";
import { OverlaySession, type OverlayStep } from "../src/drawings/overlay-session";
import { FakeClock, settle } from "./fakes/clock";
import { conflict, delta, FakeDrawings, missing, version } from "./fakes/drawings";
import { unreachable } from "./fakes/server";

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
