// @vitest-environment happy-dom
import { beforeEach, describe, expect, it } from "vitest";

import { UTC } from "../src/i18n/zone";
import { parseSeriesId, type SeriesId } from "trade-canvas-client/series-id";
import { initialState, reduce, type Action, type SeriesState } from "trade-canvas-client/series-state";
import { Mask, Notices, type MaskEvents } from "../src/chart/stage-notices";
import { describeChart } from "../src/chart/test-surface";
import { TimeframeBar } from "../src/shell/timeframe-bar";
import { candle, candles } from "../../clients/typescript/tests/fakes/candles";

const SERIES = "sim:spot:BTC/USDT:1m";
const failure = { code: "x", detail: "no such series" };
let root: HTMLElement;

beforeEach(() => {
  root = document.createElement("div");
  document.body.replaceChildren(root);
});

function after(...actions: Action[]): SeriesState {
  return actions.reduce((state, action) => reduce(state, action).state, initialState(SERIES));
}

const loaded: Action = {
  type: "page_loaded",
  candles: candles(60, 3),
  serverHead: 180,
  complete: true,
  epoch: 0,
};
const opened: Action = { type: "socket_opened" };
const visibleText = (node: Element): string =>
  [...node.children]
    .filter((child) => !(child as HTMLElement).hidden)
    .map((child) => child.textContent)
    .join(" ");

const events: MaskEvents = {
  retried: () => undefined,
  chosen: () => undefined,
  offers: () => [],
};

describe("Mask", () => {
  it("covers the chart until there are candles", () => {
    const mask = new Mask(root, events);
    mask.render(initialState(SERIES), 0);
    expect([root.hidden, root.textContent]).toEqual([
      false,
      expect.stringContaining("Loading candles"),
    ]);
    mask.render(after(loaded, opened), 0);
    expect(root.hidden).toBe(true);
  });

  it("offers to try again after an error", () => {
    let retries = 0;
    new Mask(root, { ...events, retried: () => (retries += 1) }).render(after({ type: "failed", failure }), 0);
    expect(root.textContent).toContain("no such series");
    root.querySelector("button")?.click();
    expect(retries).toBe(1);
  });

  it("offers other series instead of one that does not exist", () => {
    const chosen: string[] = [];
    const offers = (): SeriesId[] => [parseSeriesId("sim:spot:ETH/USDT:5m")];
    const absent = { code: "unknown_symbol", detail: "sim has no spot market BTC/USDT" };
    const mask = new Mask(root, { ...events, offers, chosen: (id) => chosen.push(id) });
    mask.render(after({ type: "failed", failure: absent }), 0);
    expect(root.textContent).toContain("There is no such series");
    expect(root.querySelector<HTMLElement>(".mask-card > button")?.hidden).toBe(true);
    root.querySelector<HTMLElement>(".button-offer")?.click();
    expect(chosen).toEqual(["sim:spot:ETH/USDT:5m"]);
    mask.render(after(), 0);
    expect(root.querySelector(".button-offer")).toBeNull();
  });

  it("explains that an empty series is waiting for candles", () => {
    const empty: Action = {
      type: "page_loaded",
      candles: [],
      serverHead: null,
      complete: true,
      epoch: 0,
    };
    new Mask(root, events).render(after(empty, opened), 0);
    expect(root.textContent).toContain("Waiting for background sync");
    expect(root.querySelector("button")?.hidden).toBe(true);
  });
});

describe("Notices", () => {
  it("show nothing while the series is live", () => {
    new Notices(root, () => undefined).render(after(loaded, opened), 0, UTC);
    expect(visibleText(root)).toBe("");
  });

  it("of a halted market stay while its candles are shown", () => {
    const notices = new Notices(root, () => undefined);
    const halted: Action = { type: "halted", halted: true };
    notices.render(after(loaded, opened, halted), 0, UTC);
    expect(visibleText(root)).toContain("halted or delisted this market");
    notices.render(after(loaded, opened), 0, UTC);
    expect(visibleText(root)).toBe("");
  });

  it("write nothing while nothing changes", () => {
    const parts = [document.createElement("div"), document.createElement("div")] as const;
    root.append(...parts);
    const [notices, mask] = [new Notices(parts[0], () => undefined), new Mask(parts[1], events)];
    const render = (nowMs: number): void => {
      notices.render(after(loaded, opened), nowMs, UTC);
      mask.render(after(loaded, opened), nowMs);
    };
    render(0);
    const written = new MutationObserver(() => undefined);
    written.observe(root, { subtree: true, attributes: true, childList: true, characterData: true });
    render(1_000);
    expect(written.takeRecords()).toEqual([]);
  });

  it("count down to the next attempt over candles that stay", () => {
    const waiting: Action = { type: "waiting", retryAt: 4000, failure: null };
    new Notices(root, () => undefined).render(after(loaded, opened, waiting), 1000, UTC);
    expect(visibleText(root)).toContain("Next try in 3 s");
  });

  it("name the newest hole and count the others", () => {
    const holed = after(loaded, opened, {
      type: "candles_batch",
      candles: [candle(300), candle(420)],
    });
    new Notices(root, () => undefined).render(holed, 0, UTC);
    expect(visibleText(root)).toMatch(/^1 candle missing .* · 1 more gap$/);
  });

  it("sum up hundreds of holes in one line, with a short list to open", () => {
    const holed = after(loaded, opened, { type: "candles_batch", candles: candles(300, 677, 120) });
    new Notices(root, () => undefined).render(holed, 0, UTC);
    expect(holed.holes.length).toBe(677);
    expect(visibleText(root)).toMatch(/^1 candle missing .* · 676 more gaps$/);
    const details = root.querySelector("details") as HTMLDetailsElement;
    expect(details.querySelectorAll("li").length).toBe(0);
    details.open = true;
    details.dispatchEvent(new Event("toggle"));
    expect(details.querySelectorAll("li").length).toBe(20);
  });
});

describe("describeChart", () => {
  it("describes what is loaded and how it is followed", () => {
    const state = after(loaded, opened, { type: "candle_closed", candle: candle(300) });
    describeChart(root, state);
    const attributes = [...root.attributes].map(({ name, value }) => [name, value]);
    expect(Object.fromEntries(attributes)).toEqual({
      "data-series-id": SERIES,
      "data-candle-count": "4",
      "data-first-time": "60",
      "data-last-time": "300",
      "data-forming-time": "",
      "data-status": "live",
      "data-gap-count": "1",
      "data-ws-last-time": "300",
    });
  });
});

describe("TimeframeBar", () => {
  it("offers the standard timeframes and the whitelisted ones of this symbol", () => {
    const picked: string[] = [];
    const list = document.createElement("select");
    const bar = new TimeframeBar({ row: root, list }, (timeframe) => picked.push(timeframe));
    bar.render(parseSeriesId(SERIES), ["sim:spot:BTC/USDT:1s", "sim:spot:ETH/USDT:30m"]);
    const buttons = [...root.querySelectorAll("button")];
    expect(buttons.map((button) => button.textContent)).toEqual([
      "1s",
      "1m",
      "5m",
      "15m",
      "1h",
      "4h",
      "1d",
    ]);
    expect(root.querySelector('[aria-pressed="true"]')?.textContent).toBe("1m");
    expect([...list.options].map(({ text }) => text)).toHaveLength(7);
    expect(list.value).toBe("1m");
    buttons[0]?.click();
    list.value = "4h";
    list.dispatchEvent(new Event("change"));
    expect(picked).toEqual(["1s", "4h"]);
  });

  it("picks by place, and the next shorter or longer one", () => {
    const picked: string[] = [];
    const list = document.createElement("select");
    const bar = new TimeframeBar({ row: root, list }, (timeframe) => picked.push(timeframe));
    bar.render(parseSeriesId(SERIES), []);
    bar.pick(2);
    bar.pick(8);
    bar.step(1);
    bar.step(-1);
    expect(picked).toEqual(["15m", "5m"]);
  });
});
