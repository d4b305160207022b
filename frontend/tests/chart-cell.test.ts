// @vitest-environment happy-dom
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { CandleChart } from "../src/chart/chart";
import { themeOf } from "../src/chart/theme";
import { initialState, reduce } from "trade-canvas-client/series-state";
import { ChartCell, type CellDependencies } from "../src/chart/chart-cell";
import { SettingsStore } from "../src/settings/settings";
import { SharedSocket } from "trade-canvas-client/shared-socket";
import { liveSource } from "trade-canvas-client/sync-session";
import { parseSeriesId } from "trade-canvas-client/series-id";
import { FeatureSwitches } from "../src/studies/feature-switches";
import { VolumeStudy } from "../src/studies/volume";
import { chartRoot } from "./fakes/canvas";
import { candle, candles } from "../../clients/typescript/tests/fakes/candles";
import { FakeClock } from "../../clients/typescript/tests/fakes/clock";
import { FakeServer, FakeSocket } from "../../clients/typescript/tests/fakes/server";
import { FakeSymbols, found, page } from "./fakes/symbols";
import { PriceSteps } from "../src/sync/price-steps";
import { parseServerMessage } from "trade-canvas-client/messages";
import { FakeSource } from "./fakes/candle-source";
import type { Action } from "trade-canvas-client/series-state";
import type { Study } from "../src/studies/study";
import type { OpenSource } from "trade-canvas-client/candle-source";

const BTC = "sim:spot:BTC/USDT:1m";
const ETH = "sim:spot:ETH/USDT:1m";

const nothing = (): void => undefined;
/** Vitest's own limit is a second, which a busy machine exceeds. */
const eventually = (check: () => void): Promise<void> => vi.waitFor(check, { timeout: 30_000 });
const IDLE_STUDY: Study = { attach: nothing, apply: nothing, restyle: nothing, detach: nothing };

let clock: FakeClock;
let symbols: FakeSymbols;
let settings: SettingsStore;
let priceSteps: PriceSteps;
let rewritten: number;
let repriced: number;
const cells: ChartCell[] = [];

beforeEach(() => {
  document.body.replaceChildren();
  clock = new FakeClock();
  symbols = new FakeSymbols();
  settings = new SettingsStore(() => window.localStorage);
  priceSteps = new PriceSteps({ api: symbols, clock });
  rewritten = repriced = 0;
});

afterEach(() => {
  for (const cell of cells.splice(0)) cell.close();
});

/** A cell in an element of its own, with a study of its own. */
function addCell(openSource: OpenSource, ...more: readonly Study[]): ChartCell {
  const dependencies: CellDependencies = { openSource, clock, settings, priceSteps };
  const cell = new ChartCell(chartRoot(), dependencies, [new VolumeStudy(new FeatureSwitches(settings)), ...more], {
    changed: () => undefined,
    rewritten: () => (rewritten += 1),
    repriced: () => (repriced += 1),
    chosen: () => undefined,
    offers: () => [],
  });
  cells.push(cell);
  return cell;
}

const legends = (): string[] =>
  [...document.querySelectorAll(".legend")].map((legend) => {
    const pairs = [...legend.querySelectorAll(".legend-pair")].map(
      (pair) => `${pair.textContent}${pair.querySelector("canvas")?.getAttribute("aria-label")}`,
    );
    return [legend.querySelector(".legend-name")?.textContent, ...pairs].join(" ");
  });

describe("ChartCell", () => {
  it("shows the candles of any source, and leaves it for another series", () => {
    const sources: FakeSource[] = [];
    const cell = addCell((seriesId, events) => {
      const source = new FakeSource(seriesId, events);
      sources.push(source);
      return source;
    });
    cell.open(parseSeriesId(BTC));
    sources[0]?.act({ type: "candles_batch", candles: candles(60, 3) });
    expect([cell.heldTimes(), sources[0]?.started]).toEqual([[60, 120, 180], true]);
    // Only a live source has a connection to wake, and a server that may be ahead.
    cell.wake();
    cell.headSeen(240);
    sources[0]?.rewrite("Drawings were computed again");
    expect(rewritten).toBe(1);
    expect(document.querySelector(".toast")?.textContent).toBe("Drawings were computed again");
    cell.open(parseSeriesId(ETH));
    expect([sources[0]?.stopped, sources[1]?.state.seriesId]).toEqual([true, ETH]);
  });

  it("names how much of its base a partial candle has, until it is whole", async () => {
    let source: FakeSource | null = null;
    const cell = addCell((id, events) => (source = new FakeSource(id, events)));
    cell.open(parseSeriesId(BTC));
    const found = (): FakeSource => source as unknown as FakeSource;
    found().act({ type: "candles_batch", candles: candles(60, 3) });
    const health = (partial: unknown): void => {
      const text = JSON.stringify({ type: "health", series_id: BTC, market: null, factor: null, partial });
      const message = parseServerMessage(text);
      if (message?.type === "health") found().push(message);
    };
    await eventually(() => expect(legends()[0]).toContain("C100"));
    expect(legends()[0]).not.toContain("Partial");
    health([{ candle_time: 180, base_candles: 4, expected: 5 }, { candle_time: "x" }, null]);
    expect(legends()[0]).toContain("Partial4/5");
    health([{ candle_time: 120, base_candles: 4, expected: 5 }]);
    expect(legends()[0]).not.toContain("Partial");
    health(undefined);
    expect(legends()[0]).not.toContain("Partial");
  });

  it("shows a closed candle with its drawings, or soon without them", async () => {
    let expectsChange = true;
    const study = { ...IDLE_STUDY, expectsChange: () => expectsChange };
    let source: FakeSource | null = null;
    const cell = addCell((id, events) => (source = new FakeSource(id, events)), study);
    cell.open(parseSeriesId(BTC));
    const act = (action: Action): void => (source as FakeSource | null)?.act(action);
    const shown = (): unknown => cell.heldTimes().at(-1);
    act({ type: "candles_batch", candles: candles(60, 3) });
    expect(shown()).toBe(180);
    act({ type: "candle_closed", candle: candle(240) });
    expect(shown()).toBe(180);
    const drawn = { type: "draw_cursor", series_id: BTC, cursor: 1, generation: null } as const;
    (source as FakeSource | null)?.push(drawn);
    expect(shown()).toBe(240);
    act({ type: "candle_closed", candle: candle(300) });
    await clock.advance(39);
    expect(shown()).toBe(240);
    await clock.advance(1);
    expect(shown()).toBe(300);
    // The next candle does not wait behind it, and one that is open waits for nothing.
    act({ type: "candle_closed", candle: candle(360) });
    act({ type: "candle_forming", candle: candle(420) });
    expect(cell.heldTimes().slice(-2)).toEqual([360, 420]);
    expectsChange = false;
    act({ type: "candle_closed", candle: candle(420) });
    act({ type: "candle_closed", candle: candle(480) });
    expect(shown()).toBe(480);
  });

  it("writes every price by the market's tick, once that is known", async () => {
    symbols.answer = () => page([found("BTC/USDT", { step: { tick: 0.5, digits: null } })]);
    let source: FakeSource | null = null;
    const cell = addCell((seriesId, events) => (source = new FakeSource(seriesId, events)));
    cell.open(parseSeriesId(BTC));
    // The candles are there before anything is asked about the tick.
    expect(symbols.asked).toEqual([]);
    (source as FakeSource | null)?.act({ type: "candles_batch", candles: candles(60, 3) });
    expect(cell.lastPrice).toBe("100.00");
    // The figures need the styles of the page, so the candles are painted first.
    expect(legends()[0]).not.toContain("C100");
    expect(symbols.asked).toEqual([]);
    await eventually(() =>
      expect([cell.lastPrice, legends()[0]]).toEqual(["100.0", expect.stringContaining("C100.0")]),
    );
    expect(legends()[0]).not.toContain("100.00");
    expect([cell.axisPrice(100.3), repriced]).toEqual(["100.5", 1]);
    // Another timeframe of the symbol begins with it.
    cell.open(parseSeriesId("sim:spot:BTC/USDT:5m"));
    (source as FakeSource | null)?.act({ type: "candles_batch", candles: candles(300, 2, 300) });
    expect([cell.lastPrice, symbols.asked.length]).toEqual(["100.0", 1]);
  });

  it("stands twice on a page, each with its series, over one connection", async () => {
    const server = new FakeServer();
    server.put(BTC, candles(60, 3));
    server.put(ETH, candles(60, 5));
    const real: FakeSocket[] = [];
    const shared = new SharedSocket(() => {
      real.push(new FakeSocket());
      return real.at(-1) as FakeSocket;
    }, clock);
    const openSource = liveSource({ api: server, clock, openSocket: shared.open, random: () => 0 });
    const [left, right] = [addCell(openSource), addCell(openSource)];
    left.open(parseSeriesId(BTC));
    right.open(parseSeriesId(ETH));
    await clock.advance(0);
    expect(real).toHaveLength(1);
    const socket = real[0] as FakeSocket;
    socket.open();
    const subscribed = socket.sent.filter(({ type }) => type === "subscribe");
    expect(subscribed.map(({ series_id: id, since }) => [id, since])).toEqual([
      [BTC, 180],
      [ETH, 300],
    ]);
    socket.push({ type: "candle_closed", series_id: ETH, candle: candle(360, 7) });
    expect([left.heldTimes().at(-1), right.heldTimes().at(-1)]).toEqual([180, 360]);
    await eventually(() =>
      expect(legends()).toEqual([
        expect.stringMatching(/BTC\/USDT.*C100\.00/),
        expect.stringMatching(/ETH\/USDT.*C7\.00/),
      ]),
    );
    cells.shift()?.close();
    expect(socket.sent.at(-1)).toMatchObject({ type: "unsubscribe", series_id: BTC });
    socket.push({ type: "candle_closed", series_id: ETH, candle: candle(420, 8) });
    expect([right.heldTimes().at(-1), document.querySelectorAll(".chart").length]).toEqual([420, 1]);
  });
});

describe("CandleChart", () => {
  const frames = async (): Promise<void> => {
    for (let frame = 0; frame < 3; frame += 1) {
      await new Promise((done) => requestAnimationFrame(done));
    }
  };

  it("moves by every key of one frame, not only by the last", async () => {
    const root = chartRoot();
    const chart = new CandleChart(root, themeOf(root), {
      nearStart: () => undefined,
      pointed: () => undefined,
      viewed: () => undefined,
      atEnd: () => undefined,
    });
    const { state, change } = reduce(initialState(BTC), {
      type: "candles_batch",
      candles: candles(60, 300),
    });
    chart.apply(state, change);
    await frames();
    const scale = chart.host.chart.timeScale();
    const [spacing, position] = [scale.options().barSpacing, scale.scrollPosition()];
    for (let key = 0; key < 3; key += 1) {
      chart.zoom(1.2);
      chart.pan(-10);
    }
    await frames();
    expect(scale.options().barSpacing).toBeCloseTo(spacing * 1.2 ** 3);
    expect(scale.scrollPosition()).toBeCloseTo(position - 30);
    chart.remove();
  });
});
