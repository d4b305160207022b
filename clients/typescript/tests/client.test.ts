import { describe, expect, it } from "vitest";

import { ApiError, Client } from "../src/index.js";
import { candle, candles, timesOf } from "./fakes/candles.js";
import type { Candle } from "../src/candle.js";

const SERIES = "sim:spot:BTC/USDT:1m";

type Answer = (query: URLSearchParams, path: string) => Response;

/** A client of a server that answers with `answers`, one after the other, the last one for ever. */
function clientOf(...answers: Answer[]): { client: Client; asked: URL[] } {
  const asked: URL[] = [];
  const fetch = async (input: unknown): Promise<Response> => {
    const url = input as URL;
    const answer = answers[Math.min(asked.length, answers.length - 1)] as Answer;
    asked.push(url);
    return answer(url.searchParams, url.pathname);
  };
  return { client: new Client("http://server/below", { fetch }), asked };
}

function pagesOf(list: readonly Candle[], epoch: () => number = () => 3): Answer {
  return (query) => {
    const since = Number(query.get("since") ?? -1);
    const limit = Math.min(1_000, Number(query.get("limit")));
    const later = list.filter((each) => each.candle_time > since);
    const page = query.has("since") ? later.slice(0, limit) : list.slice(-limit);
    const headers = { "x-series-epoch": String(epoch()), "x-series-generation": "1.a" };
    const head = list.at(-1)?.candle_time ?? null;
    return Response.json({ candles: page, server_head_time: head }, { headers });
  };
}

const failing = (status: number, code: string): Response =>
  Response.json({ detail: "no", code }, { status });

describe("candles", () => {
  const LIST = candles(600, 2_500);

  it("of a range come in one call, both ends included, with where to go on", async () => {
    const { client, asked } = clientOf(pagesOf(LIST));
    const [start, end] = [660, 600 + 60 * 2_000];
    const found = await client.candles(SERIES, { start, end });
    expect(found.candles).toEqual(LIST.slice(1, 2_001));
    const cursor = { since: end, oldest: start, epoch: 3, generation: "1.a" };
    expect([found.seriesId, found.cursor]).toEqual([SERIES, cursor]);
    expect(asked.map((url) => url.href.split("?")[0])).toEqual(
      Array(2).fill("http://server/below/api/market/candles"),
    );
  });

  it("up to the head are all that there are", async () => {
    const { client } = clientOf(pagesOf(LIST));
    const { candles: found, cursor } = await client.candles(SERIES, { start: 0 });
    expect(timesOf(found)).toEqual(timesOf(LIST));
    expect(cursor.since).toBe(LIST.at(-1)?.candle_time);
  });

  it("are the newest ones without a start", async () => {
    const { client, asked } = clientOf(pagesOf(LIST));
    const { candles: found, cursor } = await client.candles(SERIES, { limit: 3 });
    expect(found).toEqual(LIST.slice(-3));
    expect(cursor.oldest).toBe(found[0]?.candle_time);
    expect(asked.map(({ searchParams }) => searchParams.get("limit"))).toEqual(["3"]);
  });

  it("of a range without any leave the place to go on at", async () => {
    const { client } = clientOf(pagesOf([]));
    const { candles: found, cursor } = await client.candles(SERIES, { start: 600 });
    expect([found, cursor.since, cursor.oldest]).toEqual([[], 599, 600]);
  });

  it("are of one moment: read again when a revision came between two pages", async () => {
    let reads = 0;
    const { client, asked } = clientOf(pagesOf(LIST, () => ((reads += 1) > 1 ? 4 : 3)));
    const found = await client.candles(SERIES, { start: 0 });
    expect([found.candles.length, found.cursor.epoch]).toEqual([2_500, 4]);
    expect(asked).toHaveLength(2 + 3);
  });

  it("that never rest are an error", async () => {
    let epoch = 0;
    const { client } = clientOf(pagesOf(LIST, () => (epoch += 1)));
    await expect(client.candles(SERIES, { start: 0 })).rejects.toMatchObject({
      code: "series_changing",
    });
  });

  it("are read again after a failure that passes, and not after others", async () => {
    const passing = clientOf(() => failing(503, "server_busy"), pagesOf(LIST));
    expect((await passing.client.candles(SERIES)).candles).toHaveLength(1_000);
    const refused = clientOf(() => failing(400, "invalid_series_id"));
    const failure = await refused.client.candles("x").catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(ApiError);
    expect(failure).toMatchObject({ status: 400, code: "invalid_series_id", transient: false });
    expect(refused.asked).toHaveLength(1);
  });
});

describe("factor events", () => {
  const event = (id: number) => ({
    id,
    candle_time: 60 * id,
    factor: "pen",
    kind: "pen.confirmed",
    event_key: `confirmed:${id}`,
    payload: { n: id },
  });
  const page = (ids: readonly number[], next: string | null): Answer => () =>
    Response.json({ head_time: 900, events: ids.map(event), next_cursor: next });

  it("of all pages come in one call", async () => {
    const { client, asked } = clientOf(page([1, 2], "c2"), page([3], null));
    const query = { start: 60, end: 900, kinds: ["pen.confirmed", "zhongshu.dead"] };
    const found = await client.events(SERIES, query);
    expect(found).toEqual({ seriesId: SERIES, headTime: 900, events: [1, 2, 3].map(event) });
    const queries = asked.map(({ searchParams }) => Object.fromEntries(searchParams));
    const first = {
      series_id: SERIES,
      from: "60",
      to: "900",
      kinds: "pen.confirmed,zhongshu.dead",
      limit: "5000",
    };
    expect(queries).toEqual([first, { ...first, cursor: "c2" }]);
  });

  it("are read from the beginning when they changed meanwhile", async () => {
    const { client } = clientOf(
      page([1, 2], "c2"),
      () => failing(409, "events_changed"),
      page([1, 4], null),
    );
    const { events } = await client.events(SERIES);
    expect(events.map(({ id }) => id)).toEqual([1, 4]);
  });
});

describe("features", () => {
  type Columns = Record<string, (number | string | null)[]>;
  const page = (times: number[], columns: Columns, next: string | null): Answer => () =>
    Response.json({ head_time: 180, candle_time: times, columns, next_cursor: next });

  it("of all pages are columns of one length, also those that a page lacks", async () => {
    const { client, asked } = clientOf(
      page([60, 120], { a: [1, null] }, "c"),
      page([180], { b: ["up"] }, "d"),
      page([], {}, null),
    );
    expect(await client.features(SERIES, { columns: ["a", "b"] })).toEqual({
      seriesId: SERIES,
      headTime: 180,
      candleTimes: [60, 120, 180],
      columns: { a: [1, null, null], b: [null, null, "up"] },
    });
    expect(asked[0]?.searchParams.get("columns")).toBe("a,b");
  });
});

describe("a frame", () => {
  const frame = {
    time: { at_time: 170, aligned_time: 120 },
    factor_slices: { snapshots: { pen: { history: {} } } },
    draw_state: {
      to_candle_time: 120,
      active_ids: ["a"],
      instruction_catalog_patch: [],
      next_cursor: { version_id: 7 },
    },
  };

  it("is that of a time, or the newest", async () => {
    const { client, asked } = clientOf(() => Response.json(frame));
    const found = await client.frame(SERIES, 170);
    expect([found.candleTime, found.factors, found.drawings.activeIds]).toEqual([
      120,
      { pen: { history: {} } },
      ["a"],
    ]);
    await client.frame(SERIES);
    expect(asked.map(({ pathname, searchParams }) => [pathname, searchParams.get("at_time")])).toEqual(
      [
        ["/below/api/frame/at_time", "170"],
        ["/below/api/frame/live", null],
      ],
    );
  });

  it("that can not be read is an error", async () => {
    const { client } = clientOf(() => Response.json({ ...frame, draw_state: {} }));
    await expect(client.frame(SERIES, 170)).rejects.toMatchObject({ code: "unreadable_answer" });
  });
});

describe("a client", () => {
  it("follows beside its server's address, and ends what it follows when it is closed", async () => {
    const addresses: URL[] = [];
    class Socket {
      constructor(address: URL) {
        addresses.push(address);
      }
      send(): void {}
      close(): void {}
    }
    const fetch = async (): Promise<Response> =>
      pagesOf([candle(60)])(new URLSearchParams({ limit: "5" }), "");
    const client = new Client("https://host/below/", { fetch, WebSocket: Socket });
    const found: string[] = [];
    for await (const event of client.follow(SERIES)) {
      found.push(event.type);
      if (event.type === "candles") setTimeout(() => client.close(), 10);
    }
    expect(found).toContain("candles");
    expect(addresses.map(({ href }) => href)).toEqual(["wss://host/below/ws/market"]);
  });
});
