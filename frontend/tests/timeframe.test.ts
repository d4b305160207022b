import { describe, expect, it } from "vitest";

import { instrumentOf, parseSeriesId, tryParseSeriesId } from "trade-canvas-client/series-id";
import { latestClosedTime, offeredTimeframes, openTimeAt, parseTimeframe } from "trade-canvas-client/timeframe";

describe("parseTimeframe", () => {
  it.each([
    ["1s", 1],
    ["5m", 300],
    ["4h", 14400],
    ["1d", 86400],
    ["2w", 1209600],
    [" 1m ", 60],
    ["1M", 31 * 86400],
    ["12M", 366 * 86400],
    ["1d~America/New_York", 27 * 3600],
  ])("reads %s", (text, seconds) => expect(parseTimeframe(text).seconds).toBe(seconds));

  it.each(["", "m", "0m", "-1m", "1.5m", "5M", "1M~8h", "4h~Europe/Paris", "1d~Mars/Olympus", "1H", "1y", "m1", "1e3m"])(
    "rejects '%s'",
    (text) => {
      expect(() => parseTimeframe(text)).toThrow();
    },
  );
});

describe("the grid", () => {
  it("gives the newest closed candle as in the contract", () => {
    expect(latestClosedTime(parseTimeframe("1m"), 1_700_000_099)).toBe(1_699_999_980);
    expect(latestClosedTime(parseTimeframe("1m"), 1_700_000_100)).toBe(1_700_000_040);
    expect(latestClosedTime(parseTimeframe("1m"), 59)).toBe(0);
  });

  it("may be shifted", () => {
    const shanghai = openTimeAt(parseTimeframe("1d~16h"), 1_704_124_800 + 3600);
    expect(new Date(shanghai * 1000).toUTCString()).toBe("Mon, 01 Jan 2024 16:00:00 GMT");
    for (const text of ["1d~", "~1h", "1d~1h~1h"]) expect(() => parseTimeframe(text)).toThrow();
  });

  it("opens weeks on Monday 00:00 UTC", () => {
    const open = openTimeAt(parseTimeframe("1w"), 1_700_000_000);
    expect(new Date(open * 1000).toUTCString()).toBe("Mon, 13 Nov 2023 00:00:00 GMT");
  });
});

describe("offeredTimeframes", () => {
  it("adds whitelisted timeframes, by length, once", () => {
    expect(offeredTimeframes(["1s", "1m", "30m", "bad"])).toEqual([
      "1s",
      "1m",
      "5m",
      "15m",
      "30m",
      "1h",
      "4h",
      "1d",
    ]);
  });
});

describe("parseSeriesId", () => {
  it("splits on the first, second and last colon", () => {
    const id = parseSeriesId("binance:futures:BTC/USDT:USDT:5m");
    expect([id.exchange, id.market, id.symbol, id.timeframe.seconds]).toEqual([
      "binance",
      "futures",
      "BTC/USDT:USDT",
      300,
    ]);
  });

  it.each(["", "abc", "a::b:1m", "a:b:c", "a:b:c:1x", ":b:c:1m"])("rejects '%s'", (text) => {
    expect(tryParseSeriesId(text)).toBeNull();
  });
});

describe("instrumentOf", () => {
  it.each([
    ["BTC/USDT", "sim:futures:BTC/USDT"],
    ["BTC/USDT:USDT", "sim:futures:BTC/USDT"],
    ["BTC/USD:BTC", "sim:futures:BTC/USD:BTC"],
  ])("of %s is %s", (symbol, name) =>
    expect(instrumentOf({ exchange: "sim", market: "futures", symbol })).toBe(name),
  );
});
