import { describe, expect, it } from "vitest";

import { isRowOf, marketRows, seriesOfRow, type MarketQuery } from "../src/panels/market-list";
import { parseSeriesId } from "../src/sync/series-id";
import { NO_STEP } from "./fakes/symbols";

const top = (symbol: string) => ({ symbol, lastPrice: 1, quoteVolume: 2, changePercent: 3, step: NO_STEP });

function query(overrides: Partial<MarketQuery> = {}): MarketQuery {
  return {
    whitelist: ["sim:spot:ETH/USDT:1s", "sim:spot:ETH/USDT:1m", "sim:futures:BTC/USDT:USDT:1m"],
    exchange: "sim",
    market: "spot",
    topMarkets: [top("BTC/USDT"), top("ETH/USDT")],
    search: "",
    ...overrides,
  };
}

const namesOf = (wanted: MarketQuery): string[] => marketRows(wanted).map((row) => row.symbol);

describe("marketRows", () => {
  it("lists whitelisted symbols first, each once, with their figures", () => {
    const [first, second] = marketRows(query());
    expect([first?.symbol, first?.timeframes, first?.figures?.lastPrice]).toEqual([
      "ETH/USDT",
      ["1s", "1m"],
      1,
    ]);
    expect([second?.symbol, second?.timeframes]).toEqual(["BTC/USDT", []]);
  });

  it("treats a market with its settlement asset as the same one", () => {
    const futures = query({ market: "futures" });
    expect(namesOf(futures)).toEqual(["BTC/USDT:USDT", "ETH/USDT"]);
    expect(marketRows(futures)[0]?.figures?.symbol).toBe("BTC/USDT");
  });

  it("keeps series of other exchanges, without figures of this one", () => {
    const rows = marketRows(query({ whitelist: ["kraken:spot:BTC/USDT:1m"] }));
    expect(rows.map((row) => [row.exchange, row.symbol, row.figures !== null])).toEqual([
      ["kraken", "BTC/USDT", false],
      ["sim", "BTC/USDT", true],
      ["sim", "ETH/USDT", true],
    ]);
  });

  it.each([
    ["btc", ["BTC/USDT"]],
    ["eth/us", ["ETH/USDT"]],
    ["ETHUSDT", ["ETH/USDT"]],
    ["doge", []],
  ])("finds %s", (search, names) => expect(namesOf(query({ search }))).toEqual(names));
});

describe("seriesOfRow", () => {
  const [followed, onDemand] = marketRows(query());

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
    expect(marketRows(query()).map((row) => isRowOf(row, current))).toEqual([true, false]);
  });
});
