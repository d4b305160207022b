import { describe, expect, it } from "vitest";

import { ApiError } from "../src/http.js";
import { strictlyAscending } from "../src/candle-list.js";
import { SyncSession } from "../src/sync-session.js";
import { candle, candles, seededRandom, timesOf } from "./fakes/candles.js";
import { FakeClock } from "./fakes/clock.js";
import { FakeServer, FakeSocket, unreachable } from "./fakes/server.js";
import type { Candle } from "../src/candle.js";

const SERIES = "sim:spot:BTC/USDT:1m";
const NO_EVENTS = { changed: () => undefined, rewritten: () => undefined };

interface World {
  readonly server: FakeServer;
  readonly clock: FakeClock;
  readonly session: SyncSession;
}

interface Circumstances {
  readonly list?: readonly Candle[] | undefined;
  readonly random?: () => number;
  readonly prepare?: (server: FakeServer) => void;
}

function world({ list = candles(60, 3), random = () => 0, prepare }: Circumstances = {}): World {
  const server = new FakeServer();
  const clock = new FakeClock();
  server.put(SERIES, list);
  prepare?.(server);
  const dependencies = { api: server, openSocket: server.openSocket, clock, random };
  const session = new SyncSession(SERIES, dependencies, NO_EVENTS);
  session.start();
  return { server, clock, session };
}

async function following(list?: readonly Candle[]): Promise<World> {
  const made = world({ list });
  await made.clock.advance(0);
  made.server.socket.open();
  return made;
}

const closed = (item: Candle, series_id = SERIES) => ({
  type: "candle_closed",
  series_id,
  candle: item,
});
const forming = (item: Candle) => ({ type: "candle_forming", series_id: SERIES, candle: item });
const gap = (expected_next_time: number, actual_time: number) => ({
  type: "gap",
  series_id: SERIES,
  expected_next_time,
  actual_time,
});
const GATHERED_MS = 100;
const revised = (from_time: number, epoch?: number) => ({
  type: "system",
  series_id: SERIES,
  event: "candle.revised",
  message: "",
  data: { series_id: SERIES, from_time, epoch },
});
const capacity = {
  type: "error",
  code: "capacity",
  message: "ondemand_ingest_capacity",
  series_id: SERIES,
};

describe("catch-up", () => {
  it("reads the newest page, then subscribes from the last closed candle", async () => {
    const { server, session } = await following();
    expect(server.asked).toEqual([{ seriesId: SERIES, since: null, limit: 2000 }]);
    expect(server.socket.sent).toEqual([
      { type: "subscribe", series_id: SERIES, since: 180, supports_batch: true, epoch: 0 },
    ]);
    expect(session.state.status).toBe("live");
  });

  it("and every later read continue page by page up to the server's head", async () => {
    const { server, clock, session } = world({
      list: candles(60, 10),
      prepare: (made) => (made.rowLimit = 4),
    });
    await clock.advance(0);
    expect(server.asked.map((asked) => asked.since)).toEqual([null]);
    server.put(SERIES, candles(660, 10));
    server.socket.open();
    server.socket.push(gap(660, 1260));
    await clock.advance(GATHERED_MS);
    expect(server.asked.slice(1).map((asked) => asked.since)).toEqual([600, 840, 1080]);
    expect(session.state.candles.at(-1)?.candle_time).toBe(1200);
  });

  it("follows an empty series and polls for its first candles", async () => {
    const { server, clock, session } = await following([]);
    expect(server.socket.sent[0]?.["since"]).toBeNull();
    expect(session.state.status).toBe("empty");
    server.put(SERIES, candles(60, 2));
    await clock.advance(5000);
    expect([session.state.status, session.state.candles.length]).toEqual(["live", 2]);
    const before = server.asked.length;
    await clock.advance(20_000);
    expect(server.asked.length).toBe(before);
  });

  it("retries while the server can not be reached", async () => {
    const made = world({ prepare: (server) => server.failures.push(unreachable(), unreachable()) });
    await made.clock.advance(0);
    expect(made.session.state.status).toBe("reconnecting");
    expect(made.session.state.retryAt).toBe(made.clock.now() + 250);
    await made.clock.advance(1000);
    made.server.socket.open();
    expect(made.session.state.status).toBe("live");
  });

  it("is an error when the series is refused, until it is retried", async () => {
    const refusal = new ApiError(400, "invalid_series_id", "no such series");
    const made = world({ prepare: (server) => server.failures.push(refusal) });
    await made.clock.advance(60_000);
    expect(made.session.state.failure).toEqual({
      code: "invalid_series_id",
      detail: "no such series",
    });
    expect(made.session.state.status).toBe("error");
    made.session.retry();
    await made.clock.advance(0);
    made.server.socket.open();
    expect(made.session.state.status).toBe("live");
  });
});

describe("reconnect", () => {
  it("resumes from the last closed candle, not from the forming one", async () => {
    const { server, clock, session } = await following();
    server.socket.push(closed(candle(240)));
    server.socket.push(forming(candle(300)));
    server.socket.drop();
    expect(session.state.status).toBe("reconnecting");
    await clock.advance(300);
    server.socket.open();
    expect(server.sockets.length).toBe(2);
    expect(server.socket.sent[0]?.["since"]).toBe(240);
    expect(session.state.status).toBe("live");
  });

  it("backs off further with every failure, up to ten seconds, and starts over after a message", async () => {
    const { server, clock, session } = await following();
    const delays: number[] = [];
    for (let attempt = 0; attempt < 7; attempt += 1) {
      server.socket.drop();
      const delay = (session.state.retryAt ?? 0) - clock.now();
      delays.push(delay);
      await clock.advance(delay);
    }
    expect(delays).toEqual([250, 500, 1000, 2000, 4000, 5000, 5000]);
    server.socket.open();
    server.socket.push(closed(candle(240)));
    server.socket.drop();
    expect((session.state.retryAt ?? 0) - clock.now()).toBe(250);
  });

  it("spreads attempts by jitter and never waits beyond the cap", async () => {
    const made = world({ random: () => 1 });
    await made.clock.advance(0);
    for (let attempt = 0; attempt < 8; attempt += 1) {
      made.server.socket.drop();
      const delay = (made.session.state.retryAt ?? 0) - made.clock.now();
      expect(delay).toBe(Math.min(10_000, 500 * 2 ** attempt));
      await made.clock.advance(delay);
    }
  });

  it("does not start over for a socket that opens and closes at once", async () => {
    const { server, clock, session } = await following();
    server.socket.drop();
    await clock.advance(250);
    server.socket.open();
    server.socket.drop();
    expect((session.state.retryAt ?? 0) - clock.now()).toBe(500);
  });

  it.each([1001, 4008])("reconnects quickly after %i", async (code) => {
    const { server, clock } = await following();
    server.socket.drop(code);
    await clock.advance(200);
    expect(server.sockets.length).toBe(2);
  });

  it.each([1008, 1009])("does not reconnect after %i", async (code) => {
    const { server, clock, session } = await following();
    server.socket.drop(code);
    await clock.advance(60_000);
    expect([session.state.status, session.state.failure?.code]).toEqual([
      "error",
      `closed_${code}`,
    ]);
    expect(server.sockets.length).toBe(1);
  });

  it("does not wait when the network comes back", async () => {
    const { server, session } = await following();
    server.socket.drop();
    session.wake();
    expect(server.sockets.length).toBe(2);
  });

  it("drops a socket that does not open", async () => {
    const { server, clock } = world();
    await clock.advance(11_000);
    expect(server.sockets[0]?.closed).toBe(true);
    expect(server.sockets.length).toBe(2);
  });

  it.each([3, 3000])("receives revisions made meanwhile anywhere in %i candles", async (count) => {
    const { server, clock, session } = await following(candles(60, count));
    session.loadOlder();
    await clock.advance(0);
    server.socket.drop();
    server.put(SERIES, [candle(120, 55)]);
    await clock.advance(250);
    server.socket.open();
    expect(server.socket.sent[0]?.["epoch"]).toBe(0);
    server.socket.push(revised(120, 1));
    await clock.advance(3000);
    expect(server.asked.at(-1)?.since).toBe(119);
    expect(session.state.candles.length).toBe(count);
    expect([session.state.candles[1]?.close, session.state.epoch]).toEqual([55, 1]);
  });

  it("reads nothing again when nothing was revised meanwhile", async () => {
    const { server, clock } = await following();
    const reads = server.asked.length;
    server.socket.drop();
    await clock.advance(250);
    server.socket.open();
    await clock.advance(10_000);
    expect(server.asked.length).toBe(reads);
  });

  it.each([3, 3000])("reads all %i candles again when the server sends no epoch", async (count) => {
    const made = world({
      list: candles(60, count),
      prepare: (server) => (server.tellsEpoch = false),
    });
    const { server, clock, session } = made;
    await clock.advance(0);
    server.socket.open();
    expect(server.socket.sent[0]).not.toHaveProperty("epoch");
    session.loadOlder();
    await clock.advance(0);
    server.socket.drop();
    server.put(SERIES, [candle(120, 55)]);
    await clock.advance(250);
    server.socket.open();
    await clock.advance(3000);
    expect(session.state.candles.length).toBe(count);
    expect(session.state.candles[1]?.close).toBe(55);
  });
});

describe("gap", () => {
  it("is recovered by merging into the middle", async () => {
    const { server, clock, session } = await following();
    server.put(SERIES, candles(240, 3));
    server.socket.push(gap(240, 360));
    server.socket.push(closed(candle(360)));
    await clock.advance(GATHERED_MS);
    expect(server.asked.at(-1)).toEqual({ seriesId: SERIES, since: 180, limit: 5000 });
    expect(timesOf(session.state.candles)).toEqual([60, 120, 180, 240, 300, 360]);
    expect(session.state.holes).toEqual([]);
  });

  it("stays a hole when the server has nothing, and is filled by a later revision", async () => {
    const { server, clock, session } = await following();
    server.put(SERIES, [candle(360)]);
    server.socket.push(gap(240, 360));
    server.socket.push(closed(candle(360)));
    await clock.advance(GATHERED_MS);
    expect(session.state.holes).toEqual([{ from: 240, to: 360, missing: 2 }]);
    expect(session.state.announcedGaps).toEqual([]);
    server.put(SERIES, candles(240, 2));
    server.socket.push(revised(240));
    await clock.advance(0);
    expect(session.state.holes).toEqual([]);
  });

  it("is read again when the first read fails", async () => {
    const { server, clock, session } = await following();
    server.put(SERIES, candles(240, 3));
    server.failures.push(unreachable());
    server.socket.push(gap(240, 360));
    server.socket.push(closed(candle(360)));
    await clock.advance(GATHERED_MS);
    expect([session.state.status, session.state.holes.length]).toEqual(["live", 1]);
    await clock.advance(500);
    expect(session.state.holes).toEqual([]);
  });

  it("in a burst cost one read, from the oldest of them", async () => {
    const { server, clock } = await following();
    const before = server.asked.length;
    for (const time of [600, 360, 900]) server.socket.push(gap(time, time + 60));
    await clock.advance(1000);
    expect(server.asked.slice(before).map((asked) => asked.since)).toEqual([300]);
  });

  it("by the hundred in a catch-up cost one read and stay as holes", async () => {
    const { server, clock, session } = await following();
    const before = server.asked.length;
    const list = candles(240, 2704).filter((_, index) => index % 4 !== 1);
    server.put(SERIES, list);
    const times = [180, ...timesOf(list)];
    for (let at = 1; at < times.length; at += 1) {
      const [last, next] = times.slice(at - 1, at + 1) as [number, number];
      if (next - last > 60) server.socket.push(gap(last + 60, next));
    }
    server.socket.push({ type: "candles_batch", series_id: SERIES, candles: list });
    await clock.advance(10_000);
    expect(server.asked.slice(before).map((asked) => asked.since)).toEqual([240]);
    expect(session.state.holes.length).toBe(676);
    expect(session.state.announcedGaps).toEqual([]);
    expect(session.state.candles).toEqual(server.rows(SERIES));
  });

  it("during a read are merged into the next one", async () => {
    const { server, clock } = await following();
    const before = server.asked.length;
    server.held = true;
    server.socket.push(gap(600, 660));
    await clock.advance(GATHERED_MS);
    for (const time of [900, 360, 1200]) server.socket.push(gap(time, time + 60));
    await clock.advance(GATHERED_MS);
    server.release();
    await clock.advance(1000);
    expect(server.asked.slice(before).map((asked) => asked.since)).toEqual([540, 300]);
  });

  it("are still read when the connection ends at once", async () => {
    const { server, clock, session } = await following();
    server.put(SERIES, candles(240, 3));
    server.socket.push(gap(240, 360));
    server.socket.push(closed(candle(360)));
    server.socket.drop();
    await clock.advance(GATHERED_MS);
    expect(session.state.holes).toEqual([]);
  });
});

describe("revision", () => {
  it("replaces candles from its time on", async () => {
    const { server, clock, session } = await following();
    server.put(SERIES, [candle(120, 44)]);
    server.socket.push(revised(120));
    await clock.advance(0);
    expect(server.asked.at(-1)?.since).toBe(119);
    expect(session.state.candles.map((item) => item.close)).toEqual([100, 44, 100]);
  });

  it("is read after a reconnect when the connection ended before", async () => {
    const { server, clock, session } = await following();
    server.put(SERIES, [candle(120, 44)]);
    server.failures.push(...Array.from({ length: 3 }, unreachable));
    server.socket.push(revised(120, 1));
    await clock.advance(0);
    server.socket.drop();
    await clock.advance(250);
    server.socket.open();
    expect(server.socket.sent[0]?.["epoch"]).toBe(0);
    await clock.advance(20_000);
    expect(session.state.epoch).toBe(1);
  });

  it("is read with the next one after a refused read", async () => {
    const { server, clock, session } = await following();
    server.put(SERIES, [candle(60, 44)]);
    server.failures.push(new ApiError(403, "refused", "not now"));
    server.socket.push(revised(60, 1));
    await clock.advance(0);
    expect([session.state.status, session.state.epoch]).toEqual(["live", 0]);
    server.put(SERIES, [candle(180, 55)]);
    server.socket.push(revised(180, 2));
    await clock.advance(0);
    expect(session.state.candles.map((item) => item.close)).toEqual([44, 100, 55]);
    expect(session.state.epoch).toBe(2);
  });

  it("during a read of older candles makes it start again", async () => {
    const { server, clock, session } = await following(candles(60, 2500));
    server.held = true;
    session.loadOlder();
    server.put(SERIES, [candle(60, 44)]);
    server.socket.push(revised(60, 1));
    server.release();
    await clock.advance(0);
    expect([session.state.candles.length, session.state.epoch]).toEqual([2000, 1]);
    session.loadOlder();
    await clock.advance(0);
    expect(session.state.candles[0]?.close).toBe(44);
  });

  it("makes history before the first candle loadable", async () => {
    const { server, clock, session } = await following([]);
    server.socket.push(closed(candle(600_000)));
    server.put(SERIES, candles(540_000, 1001));
    server.socket.push(revised(540_000));
    await clock.advance(0);
    expect(session.state.candles.length).toBe(1001);
  });
});

describe("data derived from candles", () => {
  async function watched(): Promise<World & { readonly reasons: (string | null)[] }> {
    const server = new FakeServer();
    const clock = new FakeClock();
    server.put(SERIES, candles(60, 3));
    const dependencies = { api: server, openSocket: server.openSocket, clock, random: () => 0 };
    const reasons: (string | null)[] = [];
    const session = new SyncSession(SERIES, dependencies, {
      ...NO_EVENTS,
      rewritten: (reason) => reasons.push(reason),
    });
    session.start();
    await clock.advance(0);
    server.socket.open();
    return { server, clock, session, reasons };
  }

  it("may have changed after a rebuild, with a reason", async () => {
    const { server, reasons } = await watched();
    server.socket.push(closed(candle(240)));
    expect(reasons).toEqual([]);
    const rebuilt = { type: "system", series_id: SERIES, event: "factor.rebuild" };
    server.socket.push({ ...rebuilt, message: "history recomputed" });
    expect(reasons).toEqual(["history recomputed"]);
  });

  it("may have changed after a revision, a gap, or a reconnect", async () => {
    const { server, clock, reasons } = await watched();
    server.socket.push(revised(120, 1));
    server.socket.push(gap(240, 300));
    expect(reasons).toEqual([null, null]);
    server.socket.drop();
    await clock.advance(10_000);
    server.socket.open();
    expect(reasons).toEqual([null, null, null]);
  });
});

describe("what the server sends beside candles", () => {
  const cursor = { type: "draw_cursor", series_id: SERIES, cursor: 7, generation: "g" };
  const health = {
    type: "health",
    series_id: SERIES,
    market: null,
    factor: { status: "green", status_reason: "up_to_date", store_head_time: 180 },
  };

  it("is asked for with the cursor at hand, and passed on until the connection is lost", async () => {
    const server = new FakeServer();
    const clock = new FakeClock();
    server.put(SERIES, candles(60, 3));
    const dependencies = { api: server, openSocket: server.openSocket, clock, random: () => 0 };
    const seen: unknown[] = [];
    const session = new SyncSession(SERIES, dependencies, {
      ...NO_EVENTS,
      drawings: () => 5,
      pushed: ({ type }) => seen.push(type),
      connected: (isConnected) => seen.push(isConnected),
    });
    session.start();
    await clock.advance(0);
    server.socket.open();
    expect(server.socket.sent[0]).toMatchObject({ type: "subscribe", drawings: 5 });
    server.socket.push(cursor);
    server.socket.push({ ...cursor, cursor: "x" });
    server.socket.push({ type: "draw_delta", series_id: SERIES, cursor: 8 });
    server.socket.push(health);
    server.socket.drop();
    expect(seen).toEqual([true, "draw_cursor", "health", false]);
  });
});

describe("capacity", () => {
  it("falls back to polling and subscribes again, later each time", async () => {
    const { server, clock, session } = await following();
    server.socket.push(capacity);
    expect([session.state.atCapacity, session.state.status]).toEqual([true, "live"]);
    server.put(SERIES, [candle(240)]);
    await clock.advance(2400);
    expect(server.socket.sent.length).toBe(1);
    await clock.advance(200);
    expect(server.socket.sent.length).toBe(2);
    server.socket.push(capacity);
    await clock.advance(4900);
    expect(session.state.candles.at(-1)?.candle_time).toBe(240);
    expect(server.socket.sent.length).toBe(2);
    await clock.advance(200);
    expect(server.socket.sent.at(-1)?.["since"]).toBe(240);
  });

  it("ends when a later subscription is not refused", async () => {
    const { server, clock, session } = await following();
    server.socket.push(capacity);
    await clock.advance(2500 + 3000);
    expect(session.state.atCapacity).toBe(false);
    const reads = server.asked.length;
    await clock.advance(20_000);
    expect(server.asked.length).toBe(reads);
  });

  it("ends with the first live candle", async () => {
    const { server, session } = await following();
    server.socket.push(capacity);
    server.socket.push(closed(candle(240)));
    expect(session.state.atCapacity).toBe(false);
  });
});

describe("refusals", () => {
  it.each(["unknown_symbol", "exchange_not_served", "series_alias"])("of %s end the session", async (code) => {
    const { server, clock, session } = await following();
    server.socket.push({ ...capacity, code, message: "not here" });
    expect(session.state.status).toBe("error");
    const sent = server.socket.sent.length;
    await clock.advance(60_000);
    expect(server.socket.sent.length).toBe(sent);
  });
});

describe("messages", () => {
  it("of ours that the server rejects are an error", async () => {
    const { server, session } = await following();
    server.socket.push({ type: "error", code: "bad_request", message: "invalid since" });
    expect([session.state.status, session.state.failure?.detail]).toEqual([
      "error",
      "invalid since",
    ]);
    expect(server.sockets[0]?.closed).toBe(true);
  });

  it("of other series, unknown or broken ones are ignored", async () => {
    const { server, session } = await following();
    server.socket.push(closed(candle(240), "sim:spot:ETH/USDT:1m"));
    server.socket.push({ type: "novelty", series_id: SERIES });
    server.socket.push({ ...closed(candle(240)), candle: { candle_time: 240 } });
    server.socket.onmessage?.({ data: "{not json" });
    expect([session.state.status, session.state.candles.length]).toEqual(["live", 3]);
  });

  it("with a full batch continue over HTTP", async () => {
    const { server, clock, session } = await following([]);
    server.put(SERIES, candles(60, 5003));
    server.socket.push({ type: "candles_batch", series_id: SERIES, candles: candles(60, 5000) });
    await clock.advance(0);
    expect(session.state.candles.length).toBe(5003);
  });
});

describe("silence", () => {
  it("of a quiet market is shown as stale and costs a read now and then", async () => {
    const { server, clock, session } = await following();
    const before = server.asked.length;
    await clock.advance(180_000);
    expect([session.state.stale, session.state.status]).toEqual([true, "live"]);
    await clock.advance(60_000);
    expect(server.asked.length - before).toBe(3);
    server.socket.push(forming(candle(240)));
    expect(session.state.stale).toBe(false);
  });

  it("of a dead socket leads to a new one", async () => {
    const { server, clock, session } = await following();
    server.put(SERIES, [candle(240)]);
    await clock.advance(180_500);
    expect(server.sockets[0]?.closed).toBe(true);
    server.socket.open();
    expect(server.socket.sent[0]?.["since"]).toBe(240);
    expect(session.state.status).toBe("live");
  });

  it("is checked when the server has a candle that did not arrive", async () => {
    const { server, clock, session } = await following();
    session.headSeen(180);
    await clock.advance(1_000);
    expect(server.asked.length).toBe(1);
    server.put(SERIES, [candle(240)]);
    session.headSeen(240);
    await clock.advance(1_000);
    expect([server.sockets.length, server.sockets[0]?.closed]).toEqual([2, true]);
  });

  it("is checked at once when the page is visible again", async () => {
    const { server, clock, session } = await following();
    server.put(SERIES, [candle(240)]);
    await clock.advance(31_000);
    session.wake();
    await clock.advance(500);
    expect(server.sockets.length).toBe(2);
  });
});

describe("a stopped session", () => {
  it("drops late answers and late messages", async () => {
    const { server, clock, session } = world({ prepare: (made) => (made.held = true) });
    await clock.advance(0);
    session.stop();
    server.release();
    await clock.advance(60_000);
    expect([session.state.candles.length, server.sockets.length]).toEqual([0, 0]);
  });

  it("closes its socket and leaves no timer behind", async () => {
    const { server, clock, session } = await following();
    const socket = server.socket;
    session.stop();
    expect(socket.closed).toBe(true);
    socket.push(closed(candle(240)));
    expect([session.state.candles.length, clock.pending]).toEqual([3, 0]);
  });
});

describe("older candles", () => {
  it("are read again a moment after a read that failed", async () => {
    const { server, clock, session } = await following(candles(60, 5000));
    server.failures.push(unreachable());
    session.loadOlder();
    await clock.advance(0);
    const asked = server.asked.length;
    session.loadOlder();
    await clock.advance(0);
    expect(server.asked.length).toBe(asked);
    await clock.advance(3_000);
    session.loadOlder();
    await clock.advance(0);
    expect(session.state.candles.length).toBeGreaterThan(2000);
  });

  it("are read before the first one and end at the beginning", async () => {
    const { server, clock, session } = await following(candles(60, 5000));
    expect(session.state.candles.length).toBe(2000);
    for (let turn = 0; turn < 5; turn += 1) {
      session.loadOlder();
      session.loadOlder(); // a second request meanwhile is not a second read
      await clock.advance(0);
    }
    expect(timesOf(session.state.candles)).toEqual(timesOf(candles(60, 5000)));
    expect(session.state.historyExhausted).toBe(true);
    const reads = server.asked.length;
    session.loadOlder();
    await clock.advance(0);
    expect(server.asked.length).toBe(reads);
  });

  it("are found beyond a hole longer than a page, without a false hole", async () => {
    const old = candles(60, 1500);
    const recent = candles(60 + 4500 * 60, 2000);
    const { clock, session } = await following([...old, ...recent]);
    session.loadOlder();
    await clock.advance(0);
    expect(session.state.candles.length).toBe(3500);
    expect(session.state.holes.length).toBe(1);
  });
});

describe("random failures", () => {
  /** Sends a subscriber what it missed and what was revised; returns its new cursor. */
  function greet(server: FakeServer, socket: FakeSocket): number {
    socket.open();
    const { since, epoch } = socket.sent[0] as { since: number; epoch: number };
    const missed = server.rows(SERIES).filter((row) => row.candle_time > since);
    if (missed.length > 0)
      socket.push({ type: "candles_batch", series_id: SERIES, candles: missed });
    const from = server.revisedSince(epoch);
    if (from !== null) socket.push(revised(from, server.epoch));
    return missed.at(-1)?.candle_time ?? since;
  }

  it.each(Array.from({ length: 25 }, (_, seed) => seed))(
    "end with exactly the server's candles (seed %i)",
    async (seed) => {
      const random = seededRandom(seed);
      const { server, clock, session } = world({ list: candles(60, 5), random });
      await clock.advance(0);
      let socket: FakeSocket | null = null;
      let sent = 0;
      let head = 300;
      for (let turn = 0; turn < 120; turn += 1) {
        if (server.sockets.length > 0 && server.socket !== socket && !server.socket.closed) {
          socket = server.socket;
          sent = greet(server, socket);
        }
        head += 60;
        server.put(SERIES, [candle(head, turn)]);
        const roll = random();
        if (roll < 0.1) socket?.drop(roll < 0.05 ? 4008 : 1006);
        else if (roll < 0.2) server.failures.push(unreachable());
        else if (roll < 0.3) {
          const time = 60 * (1 + Math.floor(random() * (head / 60)));
          server.put(SERIES, [candle(time, 1000 + turn)]);
          socket?.push(revised(time, server.epoch));
        } else if (roll < 0.7) {
          if (head > sent + 60) socket?.push(gap(sent + 60, head));
          socket?.push(closed(candle(head, turn)));
          if (random() < 0.2) socket?.push(closed(candle(head, turn)));
          sent = head;
        } else socket?.push(forming(candle(head + 60, turn)));
        await clock.advance(random() * 4000);
        expect(strictlyAscending(timesOf(session.state.candles))).toBe(true);
      }
      server.failures.length = 0;
      session.wake();
      await clock.advance(0);
      if (session.state.connection !== "open") sent = greet(server, server.socket);
      if (sent < head) server.socket.push(gap(sent + 60, head + 60));
      await clock.advance(20_000);
      expect(session.state.candles).toEqual(server.rows(SERIES));
      expect(session.state.epoch).toBe(server.epoch);
      session.stop();
      expect(clock.pending).toBe(0);
    },
  );
});

describe("another past of the server's store", () => {
  const NOW = candles(60, 2);

  async function failedOver(): Promise<World> {
    const made = world({ prepare: (server) => (server.generation = "1.a") });
    await made.clock.advance(0);
    made.server.socket.open();
    made.server.failOver(SERIES, NOW, "2.a");
    return made;
  }

  it("is named with the epoch on subscribe", async () => {
    const { server } = await failedOver();
    expect(server.socket.sent[0]).toMatchObject({ epoch: 0, generation: "1.a" });
  });

  it("drops what was loaded at a revision from 0, and keeps what comes then", async () => {
    const { server, clock, session } = await failedOver();
    expect(timesOf(session.state.candles)).toEqual([60, 120, 180]);
    server.held = true;
    server.socket.push(revised(0, 0));
    server.socket.push(closed(candle(180, 77)));
    server.release();
    await clock.advance(0);
    expect(session.state.candles).toEqual([...NOW, candle(180, 77)]);
    expect([session.state.generation, session.state.epoch]).toEqual(["2.a", 0]);
    expect(session.state.status).toBe("live");
  });

  it("is noticed by a page, which is then read from the newest candle on", async () => {
    const { server, clock, session } = await failedOver();
    server.socket.push(gap(240, 300));
    await clock.advance(GATHERED_MS);
    expect(server.asked.slice(-2).map((asked) => asked.since)).toEqual([180, null]);
    expect(session.state.candles).toEqual(NOW);
    expect(session.state.generation).toBe("2.a");
  });

  it("is named at the next connection until its candles are loaded", async () => {
    const { server, clock, session } = await failedOver();
    server.socket.drop();
    await clock.advance(250);
    server.socket.open();
    expect(server.socket.sent[0]).toMatchObject({ since: 180, generation: "1.a" });
    server.socket.push(revised(0, 0));
    await clock.advance(0);
    expect(session.state.candles).toEqual(NOW);
  });
});
