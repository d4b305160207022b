import { describe, expect, it } from "vitest";

import { ApiError } from "trade-canvas-client/http";
import { type TopMarket } from "../src/sync/api";
import { POLL_MS, SILENCE_MS, STREAM_AGAIN_MS, TopMarketsFeed } from "../src/panels/top-markets-feed";
import { FakeClock, settle } from "../../clients/typescript/tests/fakes/clock";
import { FakeEventStream } from "./fakes/event-stream";
import { NO_STEP } from "./fakes/symbols";

const SPOT = { exchange: "sim", market: "spot" };
const FUTURES = { exchange: "sim", market: "futures" };
const market = (symbol: string): TopMarket => ({
  symbol,
  lastPrice: 1,
  quoteVolume: null,
  changePercent: null,
  step: NO_STEP,
});
const ranking = (...symbols: string[]) => ({
  items: symbols.map((symbol) => ({ symbol, last_price: 1 })),
});

class World {
  readonly clock = new FakeClock();
  readonly streams: FakeEventStream[] = [];
  readonly polled: string[] = [];
  /** Symbols that arrived, or the status of a failure. */
  readonly events: (string | number)[] = [];
  failure: ApiError | null = null;
  readonly feed = new TopMarketsFeed(
    {
      api: { topMarkets: (_, place) => this.answer(place) },
      clock: this.clock,
      openEventStream: (path) => {
        const stream = new FakeEventStream(path);
        this.streams.push(stream);
        return stream;
      },
    },
    {
      arrived: (markets) => this.events.push(...markets.map((item) => item.symbol)),
      failed: (status) => this.events.push(status),
    },
  );

  get stream(): FakeEventStream {
    return this.streams.at(-1) as FakeEventStream;
  }

  private async answer(place: string): Promise<TopMarket[]> {
    this.polled.push(place);
    if (this.failure !== null) throw this.failure;
    return [market(`polled ${place}`)];
  }
}

/** A world whose stream is open; earlier requests and events are dropped. */
async function streaming(): Promise<World> {
  const world = new World();
  world.feed.attend("list");
  world.feed.follow(SPOT);
  await settle();
  expect([world.polled.splice(0), world.events.splice(0)]).toEqual([["spot"], ["polled spot"]]);
  return world;
}

describe("the stream", () => {
  it("is opened for the venue and reports its markets whenever they change", async () => {
    const { clock, events, polled, stream } = await streaming();
    expect(stream.path).toBe(
      "/api/market/top_markets/stream" +
        "?exchange=sim&market=spot&quote_asset=USDT&limit=20&ticks=1&interval_s=5",
    );
    stream.push("top_markets", ranking("A", "B"));
    await clock.advance(5 * STREAM_AGAIN_MS); // nothing changes for a long time
    stream.push("top_markets", ranking("C"));
    expect([events, polled]).toEqual([["A", "B", "C"], []]);
  });

  it("reports that the ranking is unavailable, and continues", async () => {
    const { clock, events, polled, stream } = await streaming();
    stream.push("error", { type: "error", message: "down", at_ms: 1 });
    await clock.advance(2 * SILENCE_MS);
    stream.push("top_markets", ranking("A"));
    expect([events, polled]).toEqual([[502, "A"], []]);
  });

  it("brings single figures rarely while the list is hidden", async () => {
    const world = await streaming();
    world.feed.attend("figures");
    await settle();
    expect(world.stream.path).toContain("interval_s=30");
    world.polled.length = 0;
    world.stream.push("top_markets", ranking("A"));
    await world.clock.advance(5 * STREAM_AGAIN_MS);
    expect([world.events.at(-1), world.polled]).toEqual(["A", []]);
  });

  it("is reopened by the browser", async () => {
    const { clock, events, polled, stream, streams } = await streaming();
    stream.push("top_markets", ranking("A"));
    stream.lose();
    await clock.advance(SILENCE_MS - 1);
    stream.push("top_markets", ranking("B"));
    await clock.advance(2 * SILENCE_MS);
    expect([events, polled, streams.length]).toEqual([["A", "B"], [], 1]);
  });

  it("of another venue replaces it, and late events of the first are ignored", async () => {
    const world = await streaming();
    const first = world.stream;
    world.feed.follow(FUTURES);
    first.push("top_markets", ranking("A"));
    await settle();
    expect([world.streams.length, world.events]).toEqual([2, ["polled futures"]]);
    expect(world.stream.path).toContain("market=futures");
  });
});

describe("polling", () => {
  it("replaces a refused stream, until the stream is tried again", async () => {
    const world = await streaming();
    world.stream.refuse();
    await world.clock.advance(POLL_MS);
    expect([world.events, world.streams.length]).toEqual([["polled spot", "polled spot"], 1]);
    await world.clock.advance(STREAM_AGAIN_MS);
    expect(world.streams.length).toBe(2);
    const polls = world.polled.length;
    world.stream.push("top_markets", ranking("A"));
    await world.clock.advance(STREAM_AGAIN_MS);
    expect([world.events.at(-1), world.polled.length]).toEqual(["A", polls]);
  });

  it.each([
    ["stays silent", () => undefined],
    ["sends nothing readable", (stream: FakeEventStream) => stream.push("top_markets", "{")],
    ["does not come back", (stream: FakeEventStream) => stream.lose()],
  ])("replaces a stream that %s", async (_, happen) => {
    const { clock, polled, stream } = await streaming();
    happen(stream);
    await clock.advance(SILENCE_MS - 1);
    expect([polled, stream.readyState === 2]).toEqual([[], false]);
    await clock.advance(1);
    await settle();
    expect([polled, stream.readyState]).toEqual([["spot"], 2]);
  });

  it("is used while requests fail, and reports failures", async () => {
    const world = new World();
    world.failure = new ApiError(502, "upstream_error", "no");
    world.feed.follow(SPOT);
    world.feed.attend("figures");
    await world.clock.advance(POLL_MS);
    expect([world.events, world.streams]).toEqual([[502, 502], []]);
  });

  it("stops after a refusal, without a stream, until another venue is followed", async () => {
    const world = new World();
    world.failure = new ApiError(400, "unsupported_exchange", "no");
    world.feed.follow(SPOT);
    world.feed.attend("list");
    await world.clock.advance(2 * STREAM_AGAIN_MS);
    expect([world.events, world.streams]).toEqual([[400], []]);
    world.failure = null;
    world.feed.follow(FUTURES);
    await settle();
    expect([world.events.at(-1), world.streams.length]).toEqual(["polled futures", 1]);
  });
});

describe("a hidden page", () => {
  it("requests nothing and leaves no timer", async () => {
    const world = await streaming();
    world.feed.attend("figures");
    world.feed.attend("off");
    await world.clock.advance(STREAM_AGAIN_MS);
    expect([world.events, world.polled, world.clock.pending]).toEqual([[], ["spot"], 0]);
    expect(world.stream.readyState).toBe(2);
  });
});
