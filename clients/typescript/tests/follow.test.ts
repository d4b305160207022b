import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { ApiError } from "../src/http.js";
import { Follow, type Cursor, type FollowEvent, type FollowOptions } from "../src/follow.js";
import { candle, candles, seededRandom, timesOf } from "./fakes/candles.js";
import { FakeClock, settle } from "./fakes/clock.js";
import { LiveServer } from "./fakes/live-server.js";
import { unreachable } from "./fakes/server.js";
import type { Candle } from "../src/candle.js";

const SERIES = "sim:spot:BTC/USDT:1m";
const FIRST = 600;

let clock: FakeClock;
let server: LiveServer;
let open: Follow[];

beforeEach(() => {
  clock = new FakeClock();
  server = new LiveServer(SERIES, clock);
  open = [];
});

afterEach(async () => {
  for (const each of open) await each.return();
  expect(clock.pending).toBe(0);
});

function followFrom(options: FollowOptions = {}, random: () => number = () => 0.5): Follow {
  const dependencies = { api: server, openSocket: server.openSocket, clock, random };
  const follow = new Follow(SERIES, dependencies, options);
  open.push(follow);
  return follow;
}

/** Reads a stream as a program does, and keeps its candles. */
class Reader {
  readonly events: FollowEvent[] = [];
  readonly kept = new Map<number, Candle>();
  cursor: Cursor | null = null;
  failure: unknown = null;
  isDone = false;

  constructor(follow: Follow) {
    void this.read(follow);
  }

  /** Events without statuses, candles as their times. */
  get told(): unknown[] {
    return this.events.flatMap((event): unknown[] => {
      if (event.type === "status") return [];
      if (event.type === "candles") return [...timesOf(event.candles)];
      if (event.type === "forming") return [`forming ${event.candle.candle_time}`];
      if (event.type === "gap") return [`gap ${event.from} ${event.to}`];
      return [event.type === "revised" ? `revised ${event.from}` : event.type];
    });
  }

  get rows(): Candle[] {
    return [...this.kept.values()].sort((one, other) => one.candle_time - other.candle_time);
  }

  private async read(follow: Follow): Promise<void> {
    try {
      for await (const event of follow) this.take(event);
    } catch (error) {
      this.failure = error;
    }
    this.isDone = true;
  }

  private take(event: FollowEvent): void {
    this.events.push(event);
    if (event.type === "reset") this.kept.clear();
    if (event.type !== "candles") return;
    for (const each of event.candles) this.kept.set(each.candle_time, each);
    this.cursor = event.cursor;
  }
}

async function reading(options: FollowOptions = {}): Promise<Reader> {
  const reader = new Reader(followFrom(options));
  await clock.advance(1_000);
  return reader;
}

describe("a series that is followed", () => {
  it("begins after `since`, page by page, and goes on live", async () => {
    server.rowLimit = 500;
    server.add(...candles(FIRST, 1_200));
    const reader = await reading({ since: FIRST });
    server.add(candle(server.head + 60));
    await clock.advance(0);
    expect(reader.told).toEqual(timesOf(server.rows(SERIES)).slice(1));
    expect(reader.events.at(-2)).toEqual({ type: "status", status: "live", failure: null });
  });

  it("begins with the newest candles without `since`", async () => {
    server.add(...candles(FIRST, 2_100));
    const reader = await reading();
    expect(reader.rows).toEqual(server.rows(SERIES).slice(-2_000));
  });

  it("waits for its first candle", async () => {
    const reader = await reading();
    server.add(candle(FIRST));
    await clock.advance(10_000);
    expect(reader.told).toEqual([FIRST]);
  });

  it("asks for nothing while nothing comes after `since`", async () => {
    server.add(candle(FIRST));
    const reader = await reading({ since: FIRST });
    await clock.advance(29_000);
    expect([reader.told, server.asked.length]).toEqual([[], 1]);
    server.add(candle(FIRST + 60));
    await clock.advance(0);
    expect(reader.told).toEqual([FIRST + 60]);
  });

  it("shows open candles", async () => {
    server.add(candle(FIRST));
    const reader = await reading();
    const forming = { type: "candle_forming", series_id: SERIES, candle: candle(FIRST + 60) };
    server.socket.push(forming);
    await clock.advance(0);
    expect(reader.told).toEqual([FIRST, `forming ${FIRST + 60}`]);
  });

  it("resumes after a lost connection without losing or repeating a candle", async () => {
    server.add(...candles(FIRST, 3));
    const reader = await reading();
    server.lose();
    server.isAway = true;
    server.add(...candles(server.head + 60, 4));
    await clock.advance(5_000);
    expect(reader.events.at(-1)).toMatchObject({ status: "reconnecting" });
    server.isAway = false;
    await clock.advance(20_000);
    expect(reader.told).toEqual(timesOf(server.rows(SERIES)));
    expect(reader.told).toHaveLength(7);
    expect(reader.events.at(-1)).toMatchObject({ type: "candles" });
  });

  it("ends when the loop is left, and lets go of its connection", async () => {
    server.add(candle(FIRST));
    const follow = followFrom();
    const left = (async () => {
      for await (const event of follow) if (event.type === "candles") break;
    })();
    await clock.advance(1_000);
    await left;
    expect(server.followers).toBe(0);
    expect(await follow.next()).toEqual({ done: true, value: undefined });
  });

  it("ends with its signal, also while nothing comes", async () => {
    const abort = new AbortController();
    const reader = await reading({ signal: abort.signal });
    abort.abort();
    await settle();
    expect(reader.isDone).toBe(true);
    expect(reader.failure).toBeNull();
  });

  it("ends with the server's code when it is refused", async () => {
    server.failures.push(new ApiError(400, "invalid_series_id", "no such thing"));
    const reader = await reading();
    expect(reader.failure).toBeInstanceOf(ApiError);
    expect(reader.failure).toMatchObject({ code: "invalid_series_id", message: "no such thing" });
  });

  it("survives a server that does not answer", async () => {
    server.add(candle(FIRST));
    server.failures.push(unreachable(), unreachable());
    const reader = await reading();
    await clock.advance(5_000);
    expect(reader.told).toEqual([FIRST]);
  });
});

describe("a gap", () => {
  it("is closed before the candle behind it comes, if the server has the candles by then", async () => {
    server.add(...candles(FIRST, 2));
    const reader = await reading();
    server.held = true;
    server.add(candle(FIRST + 300));
    server.put(SERIES, candles(FIRST + 120, 3));
    await clock.advance(1_000);
    expect(reader.told).toEqual([FIRST, FIRST + 60]);
    server.release();
    await clock.advance(0);
    expect(reader.told).toEqual(timesOf(server.rows(SERIES)));
  });

  it("is reported where the server has no candles", async () => {
    server.add(...candles(FIRST, 2), candle(FIRST + 240));
    const reader = await reading({ since: FIRST });
    server.add(candle(FIRST + 420));
    await clock.advance(1_000);
    const [one, two] = [`gap ${FIRST + 120} ${FIRST + 240}`, `gap ${FIRST + 300} ${FIRST + 420}`];
    expect(reader.told).toEqual([FIRST + 60, one, FIRST + 240, two, FIRST + 420]);
    expect(reader.events.find((event) => event.type === "gap")).toMatchObject({ missing: 2 });
  });

  it("right after `since` is reported, too", async () => {
    server.add(candle(FIRST), candle(FIRST + 180));
    expect((await reading({ since: FIRST })).told).toEqual([
      `gap ${FIRST + 60} ${FIRST + 180}`,
      FIRST + 180,
    ]);
  });
});

describe("a revision", () => {
  it("brings the candles from there on again", async () => {
    server.add(...candles(FIRST, 4));
    const reader = await reading();
    server.add(candle(FIRST + 120, 7));
    await clock.advance(1_000);
    expect(reader.told.slice(4)).toEqual([`revised ${FIRST + 120}`, FIRST + 120, FIRST + 180]);
    expect(reader.rows).toEqual(server.rows(SERIES));
  });

  it("before the candles that are followed brings those, not more", async () => {
    server.add(...candles(FIRST, 4));
    const reader = await reading({ since: FIRST + 60 });
    server.add(candle(FIRST, 7));
    await clock.advance(1_000);
    expect(reader.told.slice(2)).toEqual([`revised ${FIRST + 61}`, FIRST + 120, FIRST + 180]);
  });

  it("that happened while the program was away is reported to it", async () => {
    server.add(...candles(FIRST, 4));
    const before = await reading();
    await open[0]?.return();
    server.add(candle(FIRST + 60, 7));
    const cursor = JSON.parse(JSON.stringify(before.cursor)) as Cursor;
    const reader = await reading(cursor);
    expect(reader.told).toEqual([
      `revised ${FIRST + 60}`,
      FIRST + 60,
      FIRST + 120,
      FIRST + 180,
    ]);
    expect(reader.cursor).toMatchObject({ oldest: FIRST, epoch: server.epoch });
  });

  it("is not lost when the program ends before the candles came again", async () => {
    server.add(...candles(FIRST, 4));
    const before = await reading();
    server.held = true;
    server.add(candle(FIRST + 60, 7));
    await clock.advance(1_000);
    await open[0]?.return();
    server.release();
    const reader = await reading(before.cursor ?? {});
    expect(reader.told).toContain(FIRST + 60);
  });
});

describe("another past", () => {
  it("resets the reader, who then gets all of it", async () => {
    server.generation = "1";
    server.add(...candles(FIRST, 4));
    const reader = await reading({ since: FIRST - 60 });
    server.restore(candles(FIRST, 2), "2");
    await clock.advance(1_000);
    expect(reader.told.slice(4)).toEqual(["reset", FIRST, FIRST + 60]);
    expect(reader.rows).toEqual(server.rows(SERIES));
  });

  it("that began while the program was away resets it, too", async () => {
    server.generation = "1";
    server.add(...candles(FIRST, 4));
    const before = await reading();
    await open[0]?.return();
    server.restore(candles(FIRST, 5), "2");
    expect((await reading(before.cursor ?? {})).told).toEqual([
      "reset",
      ...timesOf(server.rows(SERIES)),
    ]);
  });
});

describe("a slow reader", () => {
  it("has a bounded number of unread candles, and misses none", async () => {
    server.add(...candles(FIRST, 60_000));
    const follow = followFrom({ since: FIRST - 60 });
    await clock.advance(60_000);
    expect(server.asked.length).toBeLessThan(8);
    const reader = new Reader(follow);
    await clock.advance(1_000);
    expect(reader.told).toEqual(timesOf(server.rows(SERIES)));
  });

  it("gets only the newest open candle", async () => {
    server.add(candle(FIRST));
    const follow = followFrom();
    await clock.advance(1_000);
    for (const close of [1, 2, 3]) {
      const forming = candle(FIRST + 60, close);
      server.socket.push({ type: "candle_forming", series_id: SERIES, candle: forming });
    }
    const reader = new Reader(follow);
    await clock.advance(0);
    expect(reader.events.filter((event) => event.type === "forming")).toEqual([
      { type: "forming", candle: candle(FIRST + 60, 3) },
    ]);
  });
});

describe("faults in any order", () => {
  it.each(Array.from({ length: 25 }, (_, seed) => seed))(
    "leave the reader with exactly the server's candles, in order (seed %i)",
    async (seed) => {
      const random = seededRandom(seed);
      server.generation = "1";
      server.add(...candles(FIRST, 5));
      let reader = new Reader(followFrom({ since: FIRST - 60 }, random));
      const kept = reader.kept;
      for (let turn = 0; turn < 100; turn += 1) {
        const roll = random();
        const { head } = server;
        if (roll < 0.4) server.add(candle(head + 60, turn));
        else if (roll < 0.5) server.add(candle(head + 60 * (2 + Math.floor(random() * 4)), turn));
        else if (roll < 0.65) {
          const time = FIRST + 60 * Math.floor(random() * ((head - FIRST) / 60 + 1));
          server.add(candle(time, turn));
        } else if (roll < 0.75) server.lose(roll < 0.7 ? 4008 : 1006);
        else if (roll < 0.8) server.failures.push(unreachable());
        else if (roll < 0.82) server.restore(candles(FIRST, 3 + turn), `${turn}`);
        else if (roll < 0.87) {
          // The program ends, and another goes on from what it kept.
          await open.at(-1)?.return();
          await settle();
          for (const [time, each] of reader.kept) kept.set(time, each);
          const next = new Reader(followFrom(reader.cursor ?? { since: FIRST - 60 }, random));
          for (const [time, each] of reader.kept) next.kept.set(time, each);
          next.cursor = reader.cursor;
          reader = next;
        }
        await clock.advance(random() * 3_000);
      }
      server.failures.length = 0;
      server.add(candle(server.head + 60, 1));
      await clock.advance(40_000);
      expect(reader.rows).toEqual(server.rows(SERIES));
      expectInOrder(reader.events);
    },
  );
});

/** Times only grow, but for what a revision or a reset brings again. */
function expectInOrder(events: readonly FollowEvent[]): void {
  let head = -Infinity;
  for (const event of events) {
    if (event.type === "revised") head = Math.min(head, event.from - 1);
    if (event.type === "reset") head = -Infinity;
    if (event.type !== "candles") continue;
    for (const { candle_time: time } of event.candles) {
      expect(time).toBeGreaterThan(head);
      head = time;
    }
  }
}
