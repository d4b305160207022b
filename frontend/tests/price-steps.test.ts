import { beforeEach, describe, expect, it } from "vitest";

import { ApiError } from "trade-canvas-client/http";
import { AGAIN_MS, ATTEMPTS, PriceSteps } from "../src/sync/price-steps";
import { FakeClock, settle } from "../../clients/typescript/tests/fakes/clock";
import { FakeSymbols, found, listing, NO_STEP, page } from "./fakes/symbols";

const BTC = { exchange: "sim", market: "futures", symbol: "BTC/USDT" };
const SETTLED = { ...BTC, symbol: "BTC/USDT:USDT" };
const STEP = { tick: 0.25, digits: null };

let clock: FakeClock;
let server: FakeSymbols;
let steps: PriceSteps;
let changes: number;

beforeEach(() => {
  clock = new FakeClock();
  server = new FakeSymbols();
  steps = new PriceSteps({ api: server, clock });
  changes = 0;
  steps.subscribe(() => (changes += 1));
});

describe("PriceSteps", () => {
  it("asks once for a symbol that is not known", async () => {
    server.answer = () => page([found("BTC/USDT", { ...BTC, step: STEP })]);
    steps.want(BTC);
    steps.want(BTC);
    await settle();
    expect(steps.of(SETTLED)).toEqual(STEP);
    steps.want(SETTLED);
    expect(server.asked).toEqual([
      { query: "sim:futures:BTC/USDT", limit: 1 },
    ]);
    expect(changes).toBe(1);
  });

  it("does not ask for what another answer had", () => {
    steps.learn([{ ...SETTLED, step: STEP }, found("ETH/USDT", { step: STEP })]);
    steps.want(BTC);
    expect([server.asked.length, steps.of(BTC)]).toEqual([0, STEP]);
    steps.learn([{ ...BTC, step: NO_STEP }]);
    steps.learn([{ ...BTC, step: STEP }]);
    expect([steps.of(BTC), changes]).toEqual([STEP, 1]);
  });

  it("takes nothing from another symbol", async () => {
    server.answer = () => page([found("BTC/USD:BTC", { ...BTC, symbol: "BTC/USD:BTC", step: STEP })]);
    steps.want(BTC);
    await settle();
    expect(steps.of(BTC)).toBeNull();
  });

  it("asks again while the server reads the listing, for a while", async () => {
    server.answer = () => page([], { listings: [listing("reading", BTC), listing("current")] });
    steps.want(BTC);
    await settle();
    for (let attempt = 1; attempt < ATTEMPTS + 5; attempt += 1) {
      await clock.advance(AGAIN_MS * attempt);
      await settle();
    }
    expect(server.asked.length).toBe(ATTEMPTS);
  });

  it("waits with that while the page is hidden", async () => {
    let isHidden = true;
    steps = new PriceSteps({ api: server, clock, isHidden: () => isHidden });
    server.answer = () => page([], { listings: [listing("reading", BTC)] });
    steps.want(BTC);
    await clock.advance(100 * AGAIN_MS);
    expect(server.asked.length).toBe(1);
    isHidden = false;
    await clock.advance(AGAIN_MS);
    expect(server.asked.length).toBe(2);
  });

  it.each([
    [new ApiError(503, "server_busy", "busy"), 2],
    [new ApiError(404, "not_found", "an older server"), 1],
    [new ApiError(422, "validation_error", "too long"), 1],
  ])("after %s asks %i times", async (error, times) => {
    server.answer = () => (server.asked.length === 1 ? error : page([]));
    steps.want(BTC);
    await settle();
    await clock.advance(AGAIN_MS);
    await settle();
    expect(server.asked.length).toBe(times);
  });
});
