import { describe, expect, it } from "vitest";

import { chooseSeries, nearestSeries, seriesFromUrl, urlWithSeries } from "../src/shell/series-choice";
import { parseSeriesId } from "trade-canvas-client/series-id";

const WHITELIST = ["sim:spot:BTC/USDT:1s", "sim:spot:ETH/USDT:1m"];
const chosen = (linked: string | null, remembered: string | null, whitelist = WHITELIST) =>
  chooseSeries({ linked: linked ? parseSeriesId(linked) : null, remembered, whitelist })?.text ??
  null;

describe("chooseSeries", () => {
  it("prefers the link, then the remembered one, then the whitelist", () => {
    expect(chosen("binance:spot:A/B:1m", WHITELIST[1] ?? null)).toBe("binance:spot:A/B:1m");
    expect(chosen(null, "sim:spot:SOL/USDT:5m")).toBe("sim:spot:SOL/USDT:5m");
    expect(chosen(null, null)).toBe(WHITELIST[0]);
  });

  it("ignores a remembered series that is invalid or of a missing exchange", () => {
    expect(chosen(null, "nonsense")).toBe(WHITELIST[0]);
    expect(chosen(null, "binance:spot:BTC/USDT:1m")).toBe(WHITELIST[0]);
  });

  it("skips invalid whitelist rows, and may find no series", () => {
    expect(chosen(null, null, ["abc", "sim:spot:A/B:1m"])).toBe("sim:spot:A/B:1m");
    expect(chosen(null, null, [])).toBeNull();
  });
});

describe("the link", () => {
  it("round-trips the series, and keeps its other parameters", () => {
    const url = urlWithSeries("http://host/?a=1", "sim:futures:BTC/USDT:USDT:1m");
    expect(url).toBe("http://host/?a=1&series=sim:futures:BTC/USDT:USDT:1m");
    expect(seriesFromUrl(new URL(url).search)?.symbol).toBe("BTC/USDT:USDT");
  });

  it("is ignored when it names no series", () => {
    expect(seriesFromUrl("?series=abc")).toBeNull();
    expect(seriesFromUrl("")).toBeNull();
  });
});

describe("nearestSeries", () => {
  const offered = ["kraken:spot:ETH/USDT:1m", "sim:spot:ETH/USDT:1m", "sim:futures:BTC/USDT:5m"];

  it.each([
    ["sim:futures:BTC/USDT:7m", "sim:futures:BTC/USDT:5m"],
    ["sim:spot:ETH/USDT:1h", "sim:spot:ETH/USDT:1m"],
    ["kraken:spot:NONE/USDT:1m", "kraken:spot:ETH/USDT:1m"],
    ["nonsense", "kraken:spot:ETH/USDT:1m"],
  ])("of %s is %s", (wanted, nearest) => {
    expect(nearestSeries(wanted, offered)[0]?.text).toBe(nearest);
  });

  it("are few, and none without a whitelist", () => {
    const many = Array.from({ length: 9 }, (_, n) => `sim:spot:X${n}/USDT:1m`);
    expect([nearestSeries("a", many).length, nearestSeries("a", [])]).toEqual([3, []]);
  });
});
