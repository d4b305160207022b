import { beforeEach, describe, expect, it } from "vitest";
import { decodeChunk } from "trade-canvas-client/history-chunk";
import { History } from "trade-canvas-client/history";
import { HistoryReader } from "../src/sync/history-reader";
import { KeptChunks } from "../src/sync/kept-chunk";
import { SyncSession } from "trade-canvas-client/sync-session";
import { candle, candles, timesOf } from "../../clients/typescript/tests/fakes/candles";
import { chunkOf } from "../../clients/typescript/tests/fakes/chunk";
import { FakeClock } from "../../clients/typescript/tests/fakes/clock";
import { FakeServer } from "../../clients/typescript/tests/fakes/server";

const SERIES = "sim:spot:BTC/USDT:1m";
const SPAN = 2048 * 60;
const FIRST = 1_699_999_980 - (1_699_999_980 % SPAN);

/** The routes of compact history over the candles of a server. */
class ChunkServer {
  readonly asked: string[] = [];
  isOff = false;
  isHidden = false;
  isUnloadable = false;
  private readonly server: FakeServer;
  private readonly bodies = new Map<string, ArrayBuffer>();

  constructor(server: FakeServer) {
    this.server = server;
  }

  fetch = async (path: string): Promise<Response> => {
    this.asked.push(path);
    const url = new URL(path, "http://host");
    const name = url.pathname.split("/")[4];
    if (this.isOff) return new Response("{}", { status: 404 });
    const index = this.index(Number(url.searchParams.get("before") ?? Infinity));
    if (name === undefined) return Response.json(index);
    const body = this.bodies.get(name);
    return body ? new Response(body) : new Response("{}", { status: 404 });
  };

  indexReads(): number {
    return this.asked.filter((path) => path.includes("history?")).length;
  }

  /** Two chunks a page. */
  private index(before: number): object {
    const rows = this.server.rows(SERIES);
    const tail = Math.floor((rows.at(-1)?.candle_time ?? 0) / SPAN) * SPAN;
    const startOf = (time: number): number => Math.floor(time / SPAN) * SPAN;
    const cells = new Set(rows.map((row) => startOf(row.candle_time)));
    const starts = [...cells].filter((start) => start < Math.min(tail, before));
    const chunks = starts.slice(-2).map((start) => {
      const inside = rows.filter((row) => startOf(row.candle_time) === start);
      const sum = inside.reduce((total, row) => total + row.close, 0);
      this.bodies.set(`${start}-${sum}`, chunkOf(inside, 60));
      return { name: `${start}-${sum}`, first: inside[0]?.candle_time, candles: inside.length };
    });
    const { epoch, generation } = this.server;
    const nextBefore = starts.length > 2 ? starts.at(-2) : null;
    const found = { format: 1, epoch, generation, chunks, next_before: nextBefore };
    return { ...found, tail_since: tail - 1 };
  }
}

let stored: Map<string, string>;
const storage = () => ({
  getItem: (key: string) => stored.get(key) ?? null,
  setItem: (key: string, value: string) => void stored.set(key, value),
});

function visit(server: FakeServer, chunks: ChunkServer, clock: FakeClock): SyncSession {
  const kept = new KeptChunks(storage);
  const load = async (): Promise<History> => {
    if (chunks.isUnloadable) throw new Error("Failed to fetch dynamically imported module");
    return new History(chunks.fetch, decodeChunk);
  };
  const isHidden = (): boolean => chunks.isHidden;
  const api = new HistoryReader({ api: server, clock, kept, load, isHidden });
  const dependencies = { api, clock, openSocket: server.openSocket, random: () => 0.5 };
  const session = new SyncSession(SERIES, dependencies, {
    changed: () => undefined,
    rewritten: () => undefined,
  });
  session.start();
  return session;
}

async function world(count: number) {
  const server = new FakeServer();
  server.generation = "one";
  server.put(SERIES, candles(FIRST, count));
  const clock = new FakeClock((FIRST + (count + 1) * 60) * 1000);
  const chunks = new ChunkServer(server);
  const session = visit(server, chunks, clock);
  await clock.advance(0);
  return { server, clock, chunks, session };
}

async function readAllOlder(session: SyncSession, clock: FakeClock): Promise<void> {
  for (let turn = 0; turn < 30 && !session.state.historyExhausted; turn += 1) {
    session.loadOlder();
    await clock.advance(0);
  }
}

beforeEach(() => {
  stored = new Map();
});

describe("older candles", () => {
  it("come from chunks, down to the first", async () => {
    const { server, clock, chunks, session } = await world(7 * 2048 + 100);
    const pages = server.asked.length;
    await readAllOlder(session, clock);
    expect(timesOf(session.state.candles)).toEqual(timesOf(server.rows(SERIES)));
    expect(session.state.candles[5]).toEqual(server.rows(SERIES)[5]);
    expect(session.state.historyExhausted).toBe(true);
    expect(server.asked.length).toBe(pages);
    expect(chunks.indexReads()).toBe(4);
  });

  it("between the first one and the chunks come in pages", async () => {
    const { server, clock, session } = await world(3 * 2048 + 2040);
    session.loadOlder();
    await clock.advance(0);
    expect(server.asked.at(-1)?.since).not.toBeNull();
    await readAllOlder(session, clock);
    expect(timesOf(session.state.candles)).toEqual(timesOf(server.rows(SERIES)));
  });

  it("of a revised past are read by their new names", async () => {
    const { server, clock, session } = await world(5 * 2048 + 100);
    session.loadOlder();
    await clock.advance(0);
    server.socket.open();
    const revised = candle(FIRST + 60, 7);
    server.put(SERIES, [revised]);
    const data = { series_id: SERIES, from_time: FIRST + 60, epoch: 1 };
    const notice = { type: "system", series_id: SERIES, event: "candle.revised", message: "" };
    server.socket.push({ ...notice, data });
    await clock.advance(0);
    await readAllOlder(session, clock);
    expect(session.state.candles[1]).toEqual(revised);
    expect(session.state.epoch).toBe(1);
  });

  it("of another past are not mixed with those of this one", async () => {
    const { server, clock, session } = await world(5 * 2048 + 100);
    server.generation = "another";
    const before = session.state.candles.length;
    session.loadOlder();
    await clock.advance(0);
    expect(session.state.candles.length).toBe(before);
  });

  it("come in pages from a server without chunks, which is asked once", async () => {
    const { server, clock, chunks, session } = await world(3 * 2048 + 100);
    chunks.isOff = true;
    await readAllOlder(session, clock);
    expect(timesOf(session.state.candles)).toEqual(timesOf(server.rows(SERIES)));
    expect(chunks.asked.length).toBe(1);
  });
});

describe("a second visit", () => {
  async function visitedBefore() {
    const found = await world(5 * 2048 + 100);
    await found.clock.advance(6_000);
    found.session.stop();
    found.server.asked.splice(0);
    found.chunks.asked.splice(0);
    return found;
  }

  it("reads the candles after the newest chunk only", async () => {
    const { server, chunks, clock } = await visitedBefore();
    const second = visit(server, chunks, clock);
    await clock.advance(0);
    const since = FIRST + 5 * SPAN - 1;
    expect(server.asked).toEqual([{ seriesId: SERIES, since, limit: 5000 }]);
    expect(timesOf(second.state.candles)).toEqual(timesOf(server.rows(SERIES).slice(-2148)));
    await clock.advance(10_000);
    expect(chunks.indexReads()).toBe(0);
  });

  it("keeps the next chunk once there is one", async () => {
    const { server, chunks, clock } = await visitedBefore();
    server.put(SERIES, candles(FIRST + (5 * 2048 + 100) * 60, 2048));
    await clock.advance(2048 * 60_000);
    visit(server, chunks, clock);
    await clock.advance(6_000);
    visit(server, chunks, clock);
    await clock.advance(0);
    expect(server.asked.at(-1)?.since).toBe(FIRST + 6 * SPAN - 1);
  });

  it("is prepared only while the page can be seen", async () => {
    const { chunks, clock } = await world(5 * 2048);
    chunks.isHidden = true;
    await clock.advance(60_000);
    expect(chunks.asked).toEqual([]);
    chunks.isHidden = false;
    await clock.advance(6_000);
    expect(chunks.indexReads()).toBe(1);
  });

  it("is not prepared while the code for chunks can't be loaded", async () => {
    const { chunks, clock, session } = await world(5 * 2048);
    chunks.isUnloadable = true;
    // Vitest fails for a rejection that is not handled.
    await clock.advance(6_000);
    expect(chunks.asked).toEqual([]);
    expect(session.state.candles).not.toEqual([]);
  });

  it.each([
    ["was revised", (server: FakeServer) => server.put(SERIES, [candle(FIRST + 60, 7)])],
    ["is another", (server: FakeServer) => void (server.generation = "another")],
  ])("reads a whole page when the past %s", async (_, change) => {
    const { server, chunks, clock } = await visitedBefore();
    change(server);
    const second = visit(server, chunks, clock);
    await clock.advance(0);
    expect(server.asked.at(-1)?.since).toBeNull();
    expect(timesOf(second.state.candles)).toEqual(timesOf(server.rows(SERIES).slice(-2000)));
  });

  it("long after reads a whole page at once", async () => {
    const { server, chunks, clock } = await visitedBefore();
    await clock.advance(2 * 2048 * 60_000);
    visit(server, chunks, clock);
    await clock.advance(0);
    expect(server.asked.map((asked) => asked.since)).toEqual([null]);
  });

  it.each(["", "no JSON", "null", "7"])("goes on with %j in the storage", async (text) => {
    stored.set("trade_canvas.history", text);
    const { session } = await world(100);
    expect(session.state.candles.length).toBe(100);
  });
});

describe("KeptChunks", () => {
  it("keeps the series that were noted last", () => {
    const kept = new KeptChunks(storage);
    const chunk = { name: "0-a", since: 1, epoch: 0, generation: "one" };
    for (let n = 0; n < 10; n += 1) kept.set(`sim:spot:X${n}/USDT:1m`, chunk);
    expect(kept.get("sim:spot:X0/USDT:1m", 0)).toBeNull();
    expect(kept.get("sim:spot:X9/USDT:1m", 0)).toMatchObject(chunk);
  });
});
