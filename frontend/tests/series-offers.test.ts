import { describe, expect, it } from "vitest";

import { SeriesOffers } from "../src/shell/series-offers";
import { settle } from "../../clients/typescript/tests/fakes/clock";
import { FakeSymbols, found, page } from "./fakes/symbols";
import type { FoundSymbol } from "../src/sync/symbols";

const WHITELIST = ["sim:futures:BTC/USDT:1m"];

async function offersFor(wanted: string, items: FoundSymbol[] | Error) {
  const server = new FakeSymbols();
  server.answer = () => (items instanceof Error ? items : page(items));
  let changes = 0;
  const offers = new SeriesOffers(server, () => (changes += 1));
  const texts = (): string[] => offers.of(wanted, WHITELIST).map(({ text }) => text);
  const first = texts();
  await settle();
  const queries = server.asked.map(({ query }) => query);
  return { first, then: texts(), queries, changes, asked: () => server.asked.length };
}

describe("SeriesOffers", () => {
  it("begin with the whitelist, and put what the search finds before it", async () => {
    const { first, then, queries, changes } = await offersFor("okx:spot:DGOE/USDT:5m", [
      found("DOGE/USDT", { market: "futures" }),
      found("DOGE/USDT"),
      found("DOGE/USDC", { active: false }),
    ]);
    expect([first, queries, changes]).toEqual([WHITELIST, ["DGOE/USDT"], 1]);
    expect(then).toEqual(["sim:spot:DOGE/USDT:5m", "sim:futures:DOGE/USDT:5m", ...WHITELIST]);
  });

  it("prefer the exchange of the link among equal symbols", async () => {
    const { then } = await offersFor("kraken:spot:SOL/USD:1h", [
      found("SOL/USDT"),
      found("SOL/EUR", { exchange: "kraken" }),
      found("SOL/USDT", { exchange: "kraken", market: "futures" }),
    ]);
    expect(then).toEqual([
      "kraken:futures:SOL/USDT:1h",
      "sim:spot:SOL/USDT:1h",
      "kraken:spot:SOL/EUR:1h",
    ]);
  });

  it.each([
    ["dogecoin", "dogecoin"],
    ["sim:DOGE", "sim DOGE"],
    ["sim:spot:DOGE/USDT", "DOGE/USDT"],
    ["sim:spot:BTC/USDT:USDT:1m", "BTC/USDT:USDT"],
  ])("search for the symbol of %s", async (wanted, query) => {
    expect((await offersFor(wanted, [])).queries).toEqual([query]);
  });

  it("do not offer what the link names, and use a followed timeframe where it has none", async () => {
    const named = await offersFor("sim:spot:DOGE/USDT:1m", [found("DOGE/USDT")]);
    expect(named.then).toEqual(WHITELIST);
    const unnamed = await offersFor("doge", [found("DOGE/USDT", { whitelisted: ["1s"] })]);
    expect(unnamed.then[0]).toBe("sim:spot:DOGE/USDT:1s");
  });

  it("are the whitelist's while there is no search, which is asked once", async () => {
    const { then, changes, asked } = await offersFor("x:y:z:1m", new Error("down"));
    expect([then, changes, asked()]).toEqual([WHITELIST, 0, 1]);
  });
});
