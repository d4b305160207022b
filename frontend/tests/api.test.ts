import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";

import { ApiError } from "trade-canvas-client/http";
import { Api } from "../src/sync/api";
import { setLanguage } from "../src/i18n/words";
import { parseServerMessage } from "trade-canvas-client/messages";
import { candle } from "../../clients/typescript/tests/fakes/candles";

function apiAnswering(body: unknown, init: ResponseInit = {}, asked: string[] = []): Api {
  return new Api(async (path) => {
    asked.push(path);
    return new Response(typeof body === "string" ? body : JSON.stringify(body), init);
  });
}

const failureOf = async (call: Promise<unknown>): Promise<ApiError> => {
  try {
    await call;
  } catch (error) {
    if (error instanceof ApiError) return error;
  }
  throw new Error("expected an ApiError");
};

describe("Api", () => {
  it("reads candles after a time, and the server's clock", async () => {
    const asked: string[] = [];
    const headers = {
      date: "Tue, 14 Nov 2023 22:13:20 GMT",
      "x-series-epoch": "12",
      "x-series-generation": "1.a",
    };
    const api = apiAnswering({ candles: [candle(60)], server_head_time: 60 }, { headers }, asked);
    const page = await api.candles("sim:spot:A/B:1m", { since: 0, limit: 5 });
    expect(asked).toEqual([
      "/api/market/candles?series_id=sim%3Aspot%3AA%2FB%3A1m&limit=5&since=0",
    ]);
    expect(page).toEqual({
      candles: [candle(60)],
      serverHead: 60,
      serverTimeMs: 1_700_000_000_000,
      epoch: 12,
      generation: "1.a",
    });
  });

  it.each([undefined, "", "-1", "1.5", "many"])("has no epoch with the header %s", async (text) => {
    const headers = text === undefined ? {} : { "x-series-epoch": text };
    const api = apiAnswering({ candles: [], server_head_time: null }, { headers });
    expect((await api.candles("s", { limit: 1 })).epoch).toBeNull();
  });

  it("rejects a page with a malformed candle", async () => {
    const api = apiAnswering({ candles: [{ ...candle(60), high: null }], server_head_time: 60 });
    const failure = await failureOf(api.candles("s", { limit: 1 }));
    expect([failure.code, failure.transient]).toEqual(["unreadable_answer", true]);
  });

  const COMPACT = "application/vnd.trade-canvas.candles";
  const vectors = JSON.parse(
    readFileSync(new URL("../../tests/vectors/history.json", import.meta.url), "utf8"),
  ) as { name: string; chunk: string; candles: number[][] }[];

  function answeringColumns(body: ArrayBuffer, headers: Record<string, string> = {}): Api {
    const given = { "Content-Type": COMPACT, ...headers };
    return new Api(async (_, init) => {
      const accept = new Headers(init.headers).get("Accept") ?? "";
      return accept.startsWith(COMPACT)
        ? new Response(body, { headers: given })
        : new Response("{}", { status: 406 });
    });
  }

  it.each(vectors)("reads the same from columns and from JSON: $name", async (vector) => {
    const candles = vector.candles.map(([candle_time, open, high, low, close, volume]) => {
      return { candle_time, open, high, low, close, volume };
    });
    const past = {
      date: "Tue, 14 Nov 2023 22:13:20 GMT",
      "x-series-epoch": "12",
      "x-series-generation": "1.a",
    };
    const chunk = Uint8Array.from(Buffer.from(vector.chunk, "base64")).buffer;
    const columns = answeringColumns(chunk, { ...past, "X-Server-Head-Time": "60" });
    // JSON.stringify writes -0 as 0.
    const json = JSON.stringify({ candles, server_head_time: 60 }, (_, value: unknown) =>
      Object.is(value, -0) ? "-0" : value,
    ).replaceAll('"-0"', "-0.0");
    const read = await columns.candles("s", { limit: 5 });
    expect(read).toStrictEqual(await apiAnswering(json, { headers: past }).candles("s", { limit: 5 }));
    expect(read.candles).toHaveLength(vector.candles.length);
  });

  it("reads an empty page in columns", async () => {
    const empty = new Uint8Array(36);
    empty.set(new TextEncoder().encode("TCH1"));
    const page = await answeringColumns(empty.buffer).candles("s", { limit: 5 });
    expect([page.candles, page.serverHead]).toEqual([[], null]);
  });

  it("rejects a page in columns that is not whole", async () => {
    const failure = await failureOf(
      answeringColumns(new ArrayBuffer(20)).candles("s", { limit: 1 }),
    );
    expect([failure.code, failure.transient]).toEqual(["unreadable_answer", true]);
  });

  it("reports code and detail of an error, and whether a retry may succeed", async () => {
    const refused = apiAnswering({ detail: "bad", code: "invalid_series_id" }, { status: 400 });
    const failure = await failureOf(refused.whitelist());
    expect([failure.status, failure.code, failure.message, failure.transient]).toEqual([
      400,
      "invalid_series_id",
      "bad",
      false,
    ]);
    const validation = await failureOf(
      apiAnswering({ detail: [{ msg: "too large" }] }, { status: 422 }).whitelist(),
    );
    expect(validation.message).toBe("too large");
    const proxy = await failureOf(apiAnswering("<html>", { status: 502 }).whitelist());
    expect([proxy.code, proxy.transient]).toEqual(["http_502", true]);
  });

  it("reads which timeframes are derived, if any are", async () => {
    const series_ids = ["sim:spot:BTC/USDT:1m"];
    const plain = await apiAnswering({ series_ids }).whitelist();
    expect(plain).toEqual({ series: series_ids, derived: [] });
    const derived = { base: "1m", timeframes: ["5m", "1w", 7] };
    const made = await apiAnswering({ series_ids, derived }).whitelist();
    expect(made.derived).toEqual(["1m", "5m", "1w"]);
  });

  it("asks for errors in the page's language, whatever the browser prefers", async () => {
    const asked: unknown[] = [];
    const api = new Api(async (_, init) => {
      asked.push(new Headers(init.headers).get("Accept-Language"));
      return new Response('{"series_ids":[]}');
    });
    await api.whitelist();
    await setLanguage("zh-CN");
    await api.whitelist();
    await setLanguage("en");
    expect(asked).toEqual(["en", "zh-CN"]);
  });

  it("fails when an answer takes too long", async () => {
    const silent = new Api(
      (_, init) =>
        new Promise((_, reject) =>
          init.signal?.addEventListener("abort", () => reject(init.signal?.reason as Error)),
        ),
      { timeoutMs: 5 },
    );
    expect((await failureOf(silent.whitelist())).code).toBe("timeout");
  });

  it("reports that there is no network", async () => {
    const offline = new Api(async () => Promise.reject(new TypeError("failed to fetch")));
    expect((await failureOf(offline.whitelist())).code).toBe("network");
  });

  const PATCH = [{ version_id: 3, instruction_id: "a", definition: {} }];
  const DRAWN = {
    to_candle_time: 60,
    active_ids: [],
    instruction_catalog_patch: PATCH,
    next_cursor: { version_id: 3 },
  };
  const TAKEN = {
    toTime: 60,
    activeIds: [],
    points: new Map(), patch: [{ versionId: 3, instructionId: "a", definition: null, visibleTime: 0 }],
  };
  const { signal } = new AbortController();

  it("reads the drawings of a live frame", async () => {
    const asked: string[] = [];
    const headers = { "X-Draw-Cursor": "7", "X-Series-Generation": "g" };
    const api = apiAnswering({ draw_state: DRAWN }, { headers }, asked);
    const taken = { ...TAKEN, cursor: 7, generation: "g" };
    expect(await api.liveFrame("s", signal)).toEqual(taken);
    expect(asked).toEqual(["/api/frame/live?series_id=s&window_candles=2000&factor_slices=false"]);
    const older = await apiAnswering({ draw_state: DRAWN }).liveFrame("s", signal);
    expect(older).toEqual({ ...TAKEN, cursor: 3, generation: null });
    const broken = await failureOf(apiAnswering({ draw_state: {} }).liveFrame("s", signal));
    expect(broken.code).toBe("unreadable_answer");
  });

  it("polls from the id of the last record", async () => {
    const asked: string[] = [];
    const answer = { records: [{ id: 9, draw_delta: DRAWN }], next_cursor: { id: 9 } };
    const api = apiAnswering(answer, {}, asked);
    expect(await api.pollDelta("s", { afterId: 3, signal })).toEqual({ ...TAKEN, cursor: 9, generation: null });
    const query = "series_id=s&window_candles=2000&after_id=3&factor_slices=false";
    expect(asked).toEqual([`/api/delta/poll?${query}`]);
    const nothing = apiAnswering({ records: [], next_cursor: { id: 9 } });
    expect(await nothing.pollDelta("s", { afterId: 9, signal })).toBeNull();
  });

  it("reads what was drawn at a past candle", async () => {
    const asked: string[] = [];
    const api = apiAnswering(DRAWN, {}, asked);
    expect(await api.drawingsAt("s", { atTime: 60, signal })).toEqual({ ...TAKEN, cursor: 3 });
    expect(asked).toEqual(["/api/draw/delta?series_id=s&window_candles=2000&at_time=60"]);
  });

  it("reads the health of candles and ledgers", async () => {
    const asked: string[] = [];
    const answer = { status: "red", status_reason: "missing_head", backfill: {} };
    const api = apiAnswering(answer, {}, asked);
    expect((await api.candleHealth("s", signal)).reason).toBe("missing_head");
    expect((await api.factorHealth("s", signal)).overlayHead).toBeNull();
    expect(asked).toEqual(["/api/market/health?series_id=s", "/api/factor/health?series_id=s"]);
    const broken = apiAnswering({ status: "purple" });
    for (const call of [broken.candleHealth("s", signal), broken.factorHealth("s", signal)]) {
      expect((await failureOf(call)).code).toBe("unreadable_answer");
    }
  });

  it("reads top markets with missing figures", async () => {
    const api = apiAnswering({
      items: [
        { symbol: "BTC/USDT", last_price: 1, quote_volume: null, price_tick: 0.25 },
        { symbol: 5 },
      ],
    });
    expect(await api.topMarkets("sim", "spot")).toEqual([
      {
        symbol: "BTC/USDT",
        lastPrice: 1,
        quoteVolume: null,
        changePercent: null,
        step: { tick: 0.25, digits: null },
      },
    ]);
  });

  it("reads symbols, without what it can't read of them", async () => {
    const asked: string[] = [];
    const place = { exchange: "sim", market: "spot" };
    const symbols = {
      items: [
        { ...place, symbol: "BTC/USDT", active: false, price_digits: 5, matched: [[0, 3], ["a"]] },
        { ...place, price_tick: 1 },
      ],
      listings: [{ ...place, state: "reading", timeframes: null }, {}],
      total: 9,
      next_cursor: "abc",
    };
    const api = apiAnswering(symbols, {}, asked);
    expect(await api.symbols({ query: "b/u", market: "spot", limit: 5 })).toEqual({
      items: [
        {
          ...place,
          symbol: "BTC/USDT",
          active: false,
          step: { tick: null, digits: 5 },
          whitelisted: [],
          matched: [[0, 3]],
        },
      ],
      listings: [{ ...place, state: "reading", timeframes: null }],
      total: 9,
      nextCursor: "abc",
    });
    expect(asked).toEqual(["/api/market/symbols?query=b%2Fu&market=spot&limit=5"]);
    const broken = apiAnswering({ items: 5 }).symbols({ query: "", limit: 1 });
    expect((await failureOf(broken)).code).toBe("unreadable_answer");
  });
});

describe("parseServerMessage", () => {
  it.each([
    "",
    "[]",
    "null",
    "{",
    '{"type":"gap","series_id":"s"}',
    '{"type":"candle_closed","candle":{}}',
    '{"type":"system","series_id":"s","event":"candle.revised","data":null}',
  ])("makes nothing of %s", (text) => expect(parseServerMessage(text)).toBeNull());

  it("ignores a binary frame", () =>
    expect(parseServerMessage(new ArrayBuffer(2))).toBeNull());

  it("reads a revision with its epoch, if the server sent one", () => {
    const text = (data: object): string =>
      JSON.stringify({ type: "system", event: "candle.revised", series_id: "s", data });
    const message = { type: "revised", series_id: "s", from_time: 60 };
    expect(parseServerMessage(text({ from_time: 60, epoch: 3 }))).toEqual({ ...message, epoch: 3 });
    expect(parseServerMessage(text({ from_time: 60 }))).toEqual({ ...message, epoch: null });
  });

  it("reads a rebuild of factors", () => {
    const message = { type: "system", event: "factor.rebuild", series_id: "s", message: "m" };
    expect(parseServerMessage(JSON.stringify(message))).toEqual({
      type: "rebuilt",
      series_id: "s",
      message: "m",
    });
  });

  it("reads an error without a series", () => {
    expect(parseServerMessage('{"type":"error","code":"bad_request","message":"m"}')).toEqual({
      type: "error",
      series_id: null,
      code: "bad_request",
      message: "m",
    });
  });
});
