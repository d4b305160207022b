import { describe, expect, it } from "vitest";

import {
  followedOf,
  foundRows,
  isRowOf,
  knownRows,
  listedRows,
  marketRows,
  seriesOfRow,
  timeframesOf,
  type KnownMarkets,
  type MarketRow,
} from "../src/panels/market-list";
import { parseSeriesId } from "trade-canvas-client/series-id";
import { found, listing, NO_STEP } from "./fakes/symbols";

const WHITELIST = ["sim:spot:ETH/USDT:1s", "sim:spot:ETH/USDT:1m", "sim:futures:BTC/USDT:USDT:1m"];
const top = (symbol: string) => ({
  symbol,
  lastPrice: 1,
  quoteVolume: 2,
  changePercent: 3,
  step: NO_STEP,
});

function known(overrides: Partial<KnownMarkets> = {}, whitelist = WHITELIST): KnownMarkets {
  return {
    followed: followedOf(whitelist),
    exchange: "sim",
    market: "spot",
    topMarkets: [top("BTC/USDT"), top("ETH/USDT")],
    ...overrides,
  };
}

const symbolsOf = (rows: readonly MarketRow[]): string[] => rows.map((row) => row.symbol);

describe("marketRows", () => {
  it("lists whitelisted symbols first, each once, with their figures", () => {
    const [first, second] = marketRows(known());
    expect([first?.symbol, first?.timeframes, first?.figures?.lastPrice]).toEqual([
      "ETH/USDT",
      ["1s", "1m"],
      1,
    ]);
    expect([second?.symbol, second?.timeframes]).toEqual(["BTC/USDT", []]);
  });

  it("treats a market with its settlement asset as the same one", () => {
    const rows = marketRows(known({ market: "futures" }));
    expect(symbolsOf(rows)).toEqual(["BTC/USDT:USDT", "ETH/USDT"]);
    expect(rows[0]?.figures?.symbol).toBe("BTC/USDT");
  });

  it("keeps series of other exchanges, without figures of this one", () => {
    const rows = marketRows(known({}, ["kraken:spot:BTC/USDT:1m"]));
    expect(rows.map((row) => [row.exchange, row.symbol, row.figures !== null])).toEqual([
      ["kraken", "BTC/USDT", false],
      ["sim", "BTC/USDT", true],
      ["sim", "ETH/USDT", true],
    ]);
  });
});

describe("knownRows", () => {
  it.each([
    ["btc", ["BTC/USDT", "BTC/USDT:USDT"]],
    ["eth/us", ["ETH/USDT"]],
    ["ETHUSDT", ["ETH/USDT"]],
    ["doge", []],
  ])("finds %s", (search, names) => expect(symbolsOf(knownRows(search, known()))).toEqual(names));
});

describe("other rows", () => {
  it("of a search have what the answer says, and figures where they are known", () => {
    const items = [
      found("BTC/USDT", { active: false, matched: [[0, 3]] }),
      found("BTC/USDT", { market: "futures", whitelisted: ["1m"] }),
    ];
    const [spot, futures] = foundRows(items, known());
    expect([spot?.active, spot?.matched, spot?.figures?.lastPrice]).toEqual([false, [[0, 3]], 1]);
    // In the spelling of the whitelist, whose series is followed.
    expect([futures?.symbol, futures?.timeframes]).toEqual(["BTC/USDT:USDT", ["1m"]]);
  });

  it("of a list are in its order", () => {
    const rows = listedRows(["kraken:spot:A/B", "nonsense", "sim:futures:BTC/USDT"], known());
    expect(symbolsOf(rows)).toEqual(["A/B", "BTC/USDT:USDT"]);
  });
});

describe("timeframesOf", () => {
  const row = foundRows([found("ETH/USDT", { whitelisted: ["1s"] })], known())[0] as MarketRow;

  it("offers the standard ones where nothing is known of the exchange", () =>
    expect(timeframesOf(row, [])).toEqual(["1s", "1m", "5m", "15m", "1h", "4h", "1d"]));

  it("leaves out what the exchange does not have, but nothing that is followed", () => {
    const listings = [listing("current", { timeframes: ["1m", "1h"] })];
    expect(timeframesOf(row, listings)).toEqual(["1s", "1m", "1h"]);
  });
});

describe("seriesOfRow", () => {
  const [followed, onDemand] = marketRows(known());

  it("keeps the timeframe in use where the row has it", () => {
    expect(followed && seriesOfRow(followed, "1m")).toBe("sim:spot:ETH/USDT:1m");
    expect(onDemand && seriesOfRow(onDemand, "4h")).toBe("sim:spot:BTC/USDT:4h");
  });

  it("uses the row's first timeframe otherwise", () => {
    expect(followed && seriesOfRow(followed, "4h")).toBe("sim:spot:ETH/USDT:1s");
    expect(onDemand && seriesOfRow(onDemand, "1s")).toBe("sim:spot:BTC/USDT:1m");
  });

  it("matches the current row in any timeframe", () => {
    const current = parseSeriesId("sim:spot:ETH/USDT:4h");
    expect(marketRows(known()).map((row) => isRowOf(row, current))).toEqual([true, false]);
  });
});
