// clients/udf/catch-up.js behind a charting library, over a server that is away at times.

import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { type Feed, withCatchUp } from "../../clients/udf/catch-up.js";

const URL_OF_FEED = "https://charts.example/udf";
const EVERY_MS = 1_000;
const SYMBOL = { ticker: "sim:spot:BTC/USDT" };

class Server {
  times: number[] = [];
  epoch = 0;
  isAway = false;
  most = 5_000;
  asked: URLSearchParams[] = [];

  answer = async (address: string): Promise<Response> => {
    if (this.isAway) throw new TypeError("Failed to fetch");
    const query = new URL(address).searchParams;
    this.asked.push(query);
    const [from, to, count] = ["from", "to", "countback"].map((name) => Number(query.get(name)));
    const before = this.times.filter((time) => time < to!);
    const inRange = before.filter((time) => time >= from!).length;
    const t = before.slice(-Math.min(this.most, Math.max(count!, inRange)));
    const c = t.map((time) => time + this.epoch);
    const headers = { "X-Series-Epoch": `${this.epoch}`, "X-Series-Generation": "g" };
    const body = t.length ? { s: "ok", t, o: c, h: c, l: c, c, v: c } : { s: "no_data" };
    return new Response(JSON.stringify(body), { headers });
  };
}

class Library {
  readonly server: Server;
  bars: number[] = [];
  reset = vi.fn();

  constructor(server: Server) {
    this.server = server;
  }

  feed() {
    const adapter: Feed & { search: () => string } = {
      getBars: (_symbol, _resolution, _period, onResult) => {
        this.bars = [...this.server.times];
        onResult(this.bars.map((time) => ({ time: time * 1000 })));
      },
      subscribeBars: () => expect.unreachable("the adapter's polls are replaced"),
      unsubscribeBars: () => expect.unreachable("the adapter's polls are replaced"),
      search: () => "found",
    };
    return withCatchUp(adapter, URL_OF_FEED, { everyMs: EVERY_MS, reload: () => this.load() });
  }

  wrapped = this.feed();

  load() {
    const period = { from: 0, to: 1e9, countBack: 300, firstDataRequest: true };
    this.wrapped.getBars(SYMBOL, "1", period, () => {}, expect.unreachable);
  }

  subscribe(id = "id") {
    this.wrapped.subscribeBars(
      SYMBOL,
      "1",
      (bar) => {
        expect(bar.time / 1000).toBeGreaterThan(this.bars.at(-1) ?? 0);
        this.bars.push(bar.time / 1000);
      },
      id,
      this.reset,
    );
  }
}

let server: Server;
let library: Library;

const polls = (count = 1) => vi.advanceTimersByTimeAsync(count * EVERY_MS);

beforeEach(() => {
  vi.useFakeTimers({ now: 1_000_000 });
  server = new Server();
  library = new Library(server);
  vi.stubGlobal("fetch", server.answer);
  server.times = [60, 120, 180];
  library.load();
  library.subscribe();
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

test("every bar is passed on, however many closed while the server was away", async () => {
  await polls();
  server.isAway = true;
  server.times.push(240, 300, 360, 420);
  await polls(5);
  server.isAway = false;
  await polls(2);
  expect(library.bars).toEqual([60, 120, 180, 240, 300, 360, 420]);
  expect(library.reset).not.toHaveBeenCalled();
});

test("a revision has the chart read everything again", async () => {
  await polls();
  server.epoch += 1;
  server.times.push(240);
  await polls(3);
  expect(library.reset).toHaveBeenCalledOnce();
  expect(library.bars).toEqual([60, 120, 180, 240]);
});

test("more bars than one answer has are read as history", async () => {
  await polls();
  server.most = 3;
  server.times.push(240, 300, 360, 420);
  await polls(2);
  expect(library.reset).toHaveBeenCalledOnce();
  expect(library.bars).toEqual(server.times);
});

test("a range begins at the last bar, so that one more bar is one row", async () => {
  server.times.push(240);
  await polls(2);
  expect(server.asked.map((query) => query.get("from"))).toEqual(["180", "240"]);
});

test("a chart without bars gets the newest ones", async () => {
  server.times = [];
  library.load();
  server.times = [60, 120, 180];
  await polls(2);
  expect(library.bars).toEqual([120, 180]);
});

test("an answer behind a reload or an unsubscription is dropped", async () => {
  server.times.push(240);
  const answer = server.answer;
  vi.stubGlobal("fetch", async (address: string) => {
    const found = await answer(address);
    server.times.push(300);
    library.load();
    return found;
  });
  await polls();
  expect(library.bars).toEqual([60, 120, 180, 240, 300]);
  library.wrapped.unsubscribeBars("id");
  server.asked = [];
  await polls(3);
  expect(server.asked).toEqual([]);
});

test("all other calls are the adapter's", () => {
  expect(library.wrapped.search()).toBe("found");
});
