import { beforeEach, describe, expect, it } from "vitest";

import { SharedSocket } from "../src/shared-socket.js";
import { FakeClock } from "./fakes/clock.js";
import { FakeSocket } from "./fakes/server.js";
import type { SeriesSocket } from "../src/ports.js";

const BTC = "sim:spot:BTC/USDT:1m";
const ETH = "sim:spot:ETH/USDT:1m";

let clock: FakeClock;
let sockets: FakeSocket[];
let shared: SharedSocket;
let seen: string[];

beforeEach(() => {
  clock = new FakeClock();
  sockets = [];
  seen = [];
  shared = new SharedSocket(() => {
    sockets.push(new FakeSocket());
    return real();
  }, clock);
});

const real = (): FakeSocket => sockets.at(-1) as FakeSocket;
const types = (): unknown[] => real().sent.map(({ type }) => type);

function channel(seriesId: string, name = seriesId.slice(9, 12)): SeriesSocket {
  const made = shared.open(seriesId);
  made.onopen = () => seen.push(`${name} opened`);
  made.onmessage = ({ data }) =>
    seen.push(`${name} ${(JSON.parse(data as string) as { type: string }).type}`);
  made.onclose = ({ code }) => seen.push(`${name} closed ${code}`);
  return made;
}

describe("SharedSocket", () => {
  it("is one connection for all series, each of which gets its own messages", async () => {
    channel(BTC);
    real().open();
    channel(ETH);
    await clock.advance(0);
    real().push({ type: "candle_closed", series_id: ETH, candle: {} });
    real().push({ type: "error", code: "capacity", message: "full", series_id: BTC });
    real().push({ type: "error", code: "rate_limited", message: "slow down" });
    expect(sockets.length).toBe(1);
    expect(seen).toEqual([
      "BTC opened",
      "ETH opened",
      "ETH candle_closed",
      "BTC error",
      "BTC error",
      "ETH error",
    ]);
  });

  it("unsubscribes a series with its last channel", async () => {
    const first = channel(BTC);
    const second = channel(BTC);
    channel(ETH);
    real().open();
    first.close();
    expect(types()).toEqual(["hello"]);
    second.close();
    expect(real().sent.at(-1)).toEqual({ type: "unsubscribe", series_id: BTC });
  });

  it("stays open for a moment without channels", async () => {
    channel(BTC).close();
    await clock.advance(9_000);
    channel(ETH);
    await clock.advance(60_000);
    expect([sockets.length, real().closed]).toEqual([1, false]);
    const next = shared.open(BTC);
    next.close();
  });

  it("closes when it had no channel for a while", async () => {
    channel(BTC).close();
    await clock.advance(10_000);
    expect(real().closed).toBe(true);
  });

  it("reports its end to all, and is opened again by the first who wants it", () => {
    channel(BTC);
    channel(ETH);
    real().open();
    real().drop(1001);
    channel(ETH);
    channel(BTC);
    expect(sockets.length).toBe(2);
    expect(seen.slice(2)).toEqual(["BTC closed 1001", "ETH closed 1001"]);
  });

  it("is closed for all when one finds it dead", () => {
    const first = channel(BTC);
    channel(ETH);
    real().open();
    first.abandon();
    expect([real().closed, seen.slice(2)]).toEqual([true, ["ETH closed 1006"]]);
  });

  it("notices within ten seconds that heartbeats stopped", async () => {
    channel(BTC);
    real().open();
    for (let beat = 0; beat < 20; beat += 1) {
      real().push({ type: "heartbeat", time: beat });
      await clock.advance(3_000);
    }
    expect(seen).toEqual(["BTC opened"]);
    await clock.advance(7_000);
    expect(seen.at(-1)).toBe("BTC closed 1006");
  });

  it("notices a connection that dies before the first heartbeat", async () => {
    channel(BTC);
    real().open();
    await clock.advance(9_000);
    expect(seen.at(-1)).toBe("BTC closed 1006");
  });

  it("goes on with a server that knows no heartbeats", async () => {
    channel(BTC);
    real().open();
    real().push({ type: "error", code: "bad_request", message: "unknown message type: hello" });
    await clock.advance(600_000);
    expect(seen).toEqual(["BTC opened"]);
  });
});
