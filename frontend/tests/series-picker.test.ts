// @vitest-environment happy-dom
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { ApiError } from "trade-canvas-client/http";
import { type TopMarket } from "../src/sync/api";
import { SeriesPicker } from "../src/panels/series-picker";
import { AGAIN_MS, PAUSE_MS } from "../src/panels/symbol-search";
import { SettingsStore } from "../src/settings/settings";
import { PriceSteps } from "../src/sync/price-steps";
import { parseSeriesId } from "trade-canvas-client/series-id";
import { FakeClock, settle } from "../../clients/typescript/tests/fakes/clock";
import { FakeEventStream } from "./fakes/event-stream";
import { FakeSymbols, found, listing, NO_STEP, page } from "./fakes/symbols";

const SERIES = "sim:spot:BTC/USDT:1m";
const MARKETS: TopMarket[] = [
  { symbol: "BTC/USDT", lastPrice: 64000.5, quoteVolume: 9e9, changePercent: 1.5, step: NO_STEP },
  {
    symbol: "ETH/USDT",
    lastPrice: 2500,
    quoteVolume: 3e9,
    changePercent: -2,
    step: { tick: 0.5, digits: null },
  },
];

let root: HTMLElement;
let clock: FakeClock;
let symbols: FakeSymbols;
let settings: SettingsStore;
let stream: FakeEventStream | null;
let picked: string[];
let left: number;

beforeEach(() => {
  root = document.createElement("div");
  document.body.replaceChildren(root);
  clock = new FakeClock();
  symbols = new FakeSymbols();
  const kept = new Map<string, string>();
  settings = new SettingsStore(() => ({
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => void kept.set(key, value),
  }));
  stream = null;
  picked = [];
  left = 0;
});

const pickers: SeriesPicker[] = [];

afterEach(() => {
  // What still waits for a candle.
  for (const made of pickers.splice(0)) made.figures.share();
});

function picker(
  topMarkets: (exchange: string, market: string) => Promise<TopMarket[]> = async () => MARKETS,
): SeriesPicker {
  const api = { topMarkets, symbols: symbols.symbols.bind(symbols) };
  const made = new SeriesPicker(
    root,
    {
      api,
      clock,
      settings,
      priceSteps: new PriceSteps({ api, clock }),
      openEventStream: (path) => (stream = new FakeEventStream(path)),
    },
    {
      picked: (seriesId) => picked.push(seriesId),
      closed: () => undefined,
      left: () => (left += 1),
      refreshed: () => undefined,
    },
  );
  pickers.push(made);
  made.setWhitelist([SERIES]);
  made.setCurrent(parseSeriesId(SERIES));
  return made;
}

const one = (selector: string): HTMLElement => {
  const node = root.querySelector<HTMLElement>(selector);
  if (node === null) throw new Error(`there is no ${selector}`);
  return node;
};
const rows = (): (string | null)[] =>
  [...root.querySelectorAll(".market-symbol")].map((row) => row.textContent);
const places = (): string[] =>
  [...root.querySelectorAll<HTMLElement>(".market")].map((row) => row.dataset["seriesId"] ?? "");
const note = (): string => one(".market-note").textContent ?? "";
const search = (): HTMLInputElement => one("input.market-search") as HTMLInputElement;
const click = (selector: string): void => one(selector).click();
const marked = (): string =>
  [...root.querySelectorAll("mark")].map((mark) => mark.textContent).join(" ");

/** Types a text, and waits for its answer unless `waits` is false. */
async function type(text: string, waits = true): Promise<void> {
  search().value = text;
  search().dispatchEvent(new Event("input"));
  if (waits) await clock.advance(PAUSE_MS);
}

function press(key: string, target: HTMLElement = search()): KeyboardEvent {
  const event = new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true });
  target.dispatchEvent(event);
  return event;
}

const activeSeries = (): string | null =>
  root.querySelector<HTMLElement>('.market[aria-selected="true"]')?.dataset["seriesId"] ?? null;

describe("without a search", () => {
  it("lists markets with figures and opens the one clicked", async () => {
    const made = picker();
    await settle();
    expect(rows()).toEqual(["BTC/USDT", "ETH/USDT"]);
    expect(one('[aria-current="true"]').textContent).toContain("64,000.50+1.50%");
    expect(one(`[data-series-id="sim:spot:ETH/USDT:1m"] .market-price`).textContent).toBe("2,500.0");
    expect(made.currentFigures()?.changePercent).toBe(1.5);
    click('[data-series-id="sim:spot:ETH/USDT:1m"]');
    expect([picked, symbols.asked]).toEqual([["sim:spot:ETH/USDT:1m"], []]);
  });

  it("drops the answer for a market that is no longer shown", async () => {
    let answerSpot: (list: TopMarket[]) => void = () => undefined;
    picker((_, market) =>
      market === "spot" ? new Promise((resolve) => (answerSpot = resolve)) : Promise.resolve([]),
    );
    click('[data-market="futures"]');
    await settle();
    answerSpot(MARKETS);
    await settle();
    expect(rows()).toEqual([]);
  });

  it("changes only the texts of figures that changed", async () => {
    const made = picker();
    made.setShown(true);
    await settle();
    const row = (coin: string): Element => one(`[data-series-id="sim:spot:${coin}/USDT:1m"]`);
    const [btc, eth] = [row("BTC"), row("ETH")];
    const [star, price] = [btc.children[0], btc.querySelector(".market-price")];
    const items = [
      { symbol: "BTC/USDT", last_price: 65000, quote_volume: 9e9, price_change_percent: 1.5 },
      { symbol: "ETH/USDT", last_price: 2500, quote_volume: 3e9, price_change_percent: -2 },
    ];
    stream?.push("top_markets", { items });
    expect(price?.textContent).toContain("64,000.50"); // Until the page changes anyway.
    made.figures.share();
    expect([row("BTC"), row("ETH"), row("BTC").children[0]]).toEqual([btc, eth, star]);
    expect(btc.querySelector(".market-price")).toBe(price);
    expect(price?.textContent).toContain("65,000");
  });

  it("has the price of the chart in the row of its series while that is live", async () => {
    const made = picker();
    made.setShown(true);
    await settle();
    const price = (): string | null => one('[aria-current="true"] .market-price').textContent;
    made.showLivePrice(64123.25);
    expect(price()).toBe("64,123.25");
    const items = [
      { symbol: "BTC/USDT", last_price: 63000 },
      { symbol: "ETH/USDT", last_price: 2500 },
    ];
    stream?.push("top_markets", { items });
    made.figures.share();
    expect(price()).toBe("64,123.25");
    made.showLivePrice(null);
    expect(price()).toBe("63,000.00");
    made.showLivePrice(64123.25);
    made.setCurrent(parseSeriesId("sim:spot:ETH/USDT:1m"));
    expect(price()).toBe("2,500.0");
  });

  it("marks figures as old while the server is not reached, and requests them anew after that", async () => {
    let asked = 0;
    const made = picker(async () => ((asked += 1), MARKETS));
    made.setShown(true);
    await settle();
    const isFresh = (): string | undefined => one(".market-list").dataset["fresh"];
    const [before, dead] = [asked, stream];
    made.setReached(false);
    expect([isFresh(), asked]).toEqual(["false", before]);
    made.setReached(true);
    await settle();
    expect([isFresh(), asked, dead?.readyState, stream === dead]).toEqual(["true", before + 1, 2, false]);
  });

  it("streams figures while it is shown", async () => {
    const made = picker(async () => []);
    made.setShown(true);
    await settle();
    stream?.push("top_markets", { items: [{ symbol: "SOL/USDT", last_price: 150 }] });
    expect(rows()).toEqual(["BTC/USDT", "SOL/USDT"]);
    made.setShown(false);
    expect(stream?.readyState).toBe(2);
  });

  it("neither streams nor polls while the page is hidden", async () => {
    let asked = 0;
    const made = picker(async () => ((asked += 1), []));
    made.setShown(true);
    await settle();
    const shown = stream;
    const before = asked;
    Object.defineProperty(document, "hidden", { value: true, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
    made.setShown(false);
    Object.defineProperty(document, "hidden", { value: false, configurable: true });
    await settle();
    expect([shown?.readyState, asked]).toEqual([2, before]);
  });

  it("keeps the whitelist when there are no figures", async () => {
    picker(async () => Promise.reject(new Error("down")));
    await settle();
    expect(rows()).toEqual(["BTC/USDT"]);
    expect(note()).toContain("not available");
  });
});

describe("a search", () => {
  const results = [
    found("SOL/USDT", { exchange: "kraken", matched: [[0, 3]] }),
    found("SOLV/USDT", { market: "futures", active: false, matched: [[0, 3]] }),
    found("XSOL/USDT", { matched: [[1, 4]], step: { tick: 0.25, digits: null } }),
  ];
  const places3 = ["kraken:spot:SOL/USDT:1m", "sim:futures:SOLV/USDT:1m", "sim:spot:XSOL/USDT:1m"];

  beforeEach(() => (symbols.answer = () => page(results)));

  it("asks once after a pause in typing, over all exchanges and markets", async () => {
    picker();
    await type("s", false);
    await clock.advance(PAUSE_MS - 1);
    await type("so", false);
    await type("sol");
    expect(symbols.asked).toEqual([{ query: "sol", limit: 40 }]);
    expect(places()).toEqual(places3);
    expect([marked(), one(".market-detail").textContent]).toEqual(["SOL SOL SOL", "kraken Spot"]);
    expect(one("[data-inactive]").textContent).toContain("Not traded any more");
  });

  it("opens what the keyboard chooses", async () => {
    picker();
    await type("sol");
    const chosen = [activeSeries()];
    for (const key of ["ArrowDown", "ArrowDown", "ArrowDown", "ArrowUp", "Home", "End"]) {
      expect(press(key).defaultPrevented).toBe(true);
      chosen.push(activeSeries());
    }
    const [first, second, third] = places3;
    expect(chosen).toEqual([first, second, third, third, second, first, third]);
    press("Enter");
    expect(picked).toEqual([third]);
  });

  it("names the active row for screen readers", async () => {
    picker();
    await type("sol");
    press("ArrowDown");
    const field = search();
    const active = root.querySelector('[role="row"][aria-selected="true"]');
    expect(field.getAttribute("aria-activedescendant")).toBe(active?.id);
    expect(one(`#${field.getAttribute("aria-controls")}`).getAttribute("role")).toBe("grid");
    expect([field.getAttribute("role"), field.getAttribute("aria-haspopup")]).toEqual([
      "combobox",
      "grid",
    ]);
    await type("");
    expect(field.hasAttribute("aria-activedescendant")).toBe(false);
  });

  it("opens the first result of what was typed, not of what was found before", async () => {
    picker();
    await type("sol");
    symbols.answer = () => page([found("DOGE/USDT")]);
    await type("doge", false);
    press("Enter");
    expect(picked).toEqual([]);
    await clock.advance(PAUSE_MS);
    expect(picked).toEqual(["sim:spot:DOGE/USDT:1m"]);
  });

  it("leaves keys to an input method, and the caret keys while no row is active", () => {
    picker();
    const composing = new KeyboardEvent("keydown", { key: "Enter", cancelable: true });
    Object.defineProperty(composing, "isComposing", { value: true });
    search().dispatchEvent(composing);
    expect([composing.defaultPrevented, press("Home").defaultPrevented]).toEqual([false, false]);
  });

  it("ends with Escape, and a second one leaves the panel", async () => {
    picker();
    await settle();
    await type("sol");
    press("Escape");
    expect([search().value, rows(), left]).toEqual(["", ["BTC/USDT", "ETH/USDT"], 0]);
    press("Escape");
    expect(left).toBe(1);
  });

  it("drops the answer to an earlier text", async () => {
    picker();
    let answerFirst: () => void = () => undefined;
    symbols.answer = ({ query }) =>
      query === "first"
        ? new Promise((resolve) => (answerFirst = () => resolve(page([found("FIRST/USDT")]))))
        : page([found("SECOND/USDT")]);
    await type("first");
    await type("second");
    answerFirst();
    await settle();
    expect([rows(), symbols.aborted.length]).toEqual([["SECOND/USDT"], 1]);
  });

  it("is of one market where the user chooses it", async () => {
    picker();
    await type("sol");
    expect(one('[data-market="spot"]').getAttribute("aria-pressed")).toBe("false");
    click('[data-market="futures"]');
    await clock.advance(PAUSE_MS);
    click('[data-market="futures"]');
    await clock.advance(PAUSE_MS);
    expect(symbols.asked.map(({ market }) => market)).toEqual([undefined, "futures", undefined]);
  });

  it("reads further pages, each symbol once", async () => {
    picker();
    symbols.answer = ({ cursor }) =>
      cursor === undefined
        ? page([found("A/B"), found("B/B")], { total: 3, nextCursor: "next" })
        : page([found("B/B"), found("C/B")], { total: 3 });
    await type("b");
    expect(one(".market-further").textContent).toBe("Show more of 3");
    click(".market-further");
    await settle();
    expect(rows()).toEqual(["A/B", "B/B", "C/B"]);
    expect([symbols.asked.at(-1)?.cursor, one(".market-further").hidden]).toEqual(["next", true]);
  });

  it("names what it could not search, and asks again for what is still read", async () => {
    picker();
    const listings = [
      listing("reading", { exchange: "okx" }),
      listing("unavailable", { exchange: "kraken", market: "futures" }),
      listing("stale"),
    ];
    symbols.answer = () => page([], { listings });
    await type("sol");
    expect(note()).toBe(
      "No market matches. Still reading: okx Spot. Can not be searched now: kraken Futures. " +
        "Perhaps outdated: sim Spot.",
    );
    symbols.answer = () => page(results);
    await clock.advance(AGAIN_MS);
    expect([rows().length, note(), activeSeries()]).toEqual([3, "", places3[0]]);
    await clock.advance(10 * AGAIN_MS);
    expect(symbols.asked.length).toBe(2);
  });

  it("keeps the rows of markets that it still has, wherever they stand", async () => {
    picker();
    await settle();
    const btc = one('[data-name="sim:spot:BTC/USDT"]');
    const star = one('[data-name="sim:spot:BTC/USDT"] .market-star');
    symbols.answer = () => page([found("ABTC/USDT"), found("BTC/USDT", { matched: [[0, 3]] })]);
    await type("btc");
    expect(rows()).toEqual(["ABTC/USDT", "BTC/USDT"]);
    expect(one('[data-name="sim:spot:BTC/USDT"]')).toBe(btc);
    expect(one('[data-name="sim:spot:BTC/USDT"] .market-star')).toBe(star);
    click('[data-name="sim:spot:ABTC/USDT"] .market-star');
    expect(settings.value.favourites).toEqual(["sim:spot:ABTC/USDT"]);
  });

  it("moves no row under a press, and shows the answer after the click", async () => {
    picker();
    await settle();
    symbols.answer = () => page([found("BTCA/USDT"), found("BTC/USDT")]);
    const star = one('[data-name="sim:spot:ETH/USDT"] .market-star');
    star.dispatchEvent(new PointerEvent("pointerdown", { bubbles: true, button: 0 }));
    await type("btc");
    expect(rows()).toEqual(["BTC/USDT", "ETH/USDT"]);
    window.dispatchEvent(new PointerEvent("pointerup"));
    await clock.advance(100);
    star.click();
    expect(settings.value.favourites).toEqual(["sim:spot:ETH/USDT"]);
    expect([rows(), activeSeries()]).toEqual([["BTCA/USDT", "BTC/USDT"], "sim:spot:BTCA/USDT:1m"]);
  });

  it("shows the answer soon after a press that becomes no click", async () => {
    picker();
    await settle();
    symbols.answer = () => page([found("SOL/USDT")]);
    for (const end of ["pointercancel", "pointerup", "none"]) {
      await type("");
      one(".market").dispatchEvent(new PointerEvent("pointerdown", { bubbles: true, button: 0 }));
      await type("sol");
      window.dispatchEvent(new PointerEvent(end));
      await clock.advance(end === "none" ? 3000 : 300);
      expect(rows(), end).toEqual(["SOL/USDT"]);
    }
    await type("");
    one(".market").dispatchEvent(new PointerEvent("pointerdown", { bubbles: true, button: 2 }));
    await type("sol");
    expect(rows()).toEqual(["SOL/USDT"]);
  });

  it("shows what the page knows while the server does not answer", async () => {
    picker();
    await settle();
    symbols.answer = () => new ApiError(503, "server_busy", "busy");
    await type("eth");
    expect(rows()).toEqual(["ETH/USDT"]);
    expect(note()).toContain("The search does not answer");
    await type("nothing");
    symbols.answer = () => page(results);
    press("Enter");
    await clock.advance(PAUSE_MS);
    expect(rows().length).toBe(3);
  });
});

describe("favourites and lists", () => {
  it("are kept in the settings and shown without a search", async () => {
    picker();
    await settle();
    click('[data-name="sim:spot:ETH/USDT"] .market-star');
    expect(picked).toEqual([]);
    click('[data-view="favourites"]');
    expect([rows(), settings.value.favourites]).toEqual([["ETH/USDT"], ["sim:spot:ETH/USDT"]]);
    expect(one(".market-star").getAttribute("aria-pressed")).toBe("true");
    click(".market-star");
    expect([rows(), note()]).toEqual([[], "Star a market to keep it here."]);
  });

  it("are made, filled, renamed and deleted", async () => {
    picker();
    await settle();
    click('[data-name="sim:spot:ETH/USDT"] .market-more');
    click('[data-control="list-new"]');
    (one(".list-name") as HTMLInputElement).value = "Mine";
    one("form").dispatchEvent(new Event("submit", { cancelable: true }));
    expect(settings.value.lists).toEqual([{ id: "1", name: "Mine", symbols: ["sim:spot:ETH/USDT"] }]);
    expect(rows()).toEqual(["ETH/USDT"]);
    click('[data-view="markets"]');
    click('[data-name="sim:spot:BTC/USDT"] .market-more');
    click('[data-control="list-1"]');
    expect(one('[data-control="list-1"]').getAttribute("aria-pressed")).toBe("true");
    click('[data-view="1"]');
    expect(rows()).toEqual(["ETH/USDT", "BTC/USDT"]);
    click(".list-tools button");
    (one(".list-name") as HTMLInputElement).value = "Yours";
    one("form").dispatchEvent(new Event("submit", { cancelable: true }));
    expect(one('[data-view="1"]').textContent).toBe("Yours");
    click(".list-delete");
    expect(settings.value.lists.length).toBe(1);
    click(".list-delete");
    expect([settings.value.lists, one('[data-view="markets"]').getAttribute("aria-pressed")]).toEqual(
      [[], "true"],
    );
  });

  it("keep the focus in their row of views", async () => {
    settings.update({ lists: [{ id: "1", name: "Mine", symbols: [] }] });
    picker();
    await settle();
    const mine = one('[data-view="1"]');
    mine.focus();
    mine.click();
    expect([document.activeElement, mine.getAttribute("aria-pressed")]).toEqual([mine, "true"]);
    click(".list-tools button");
    expect(document.activeElement).toBe(one(".list-name"));
    (one(".list-name") as HTMLInputElement).value = "Yours";
    one("form").dispatchEvent(new Event("submit", { cancelable: true }));
    expect([document.activeElement, mine.textContent]).toEqual([mine, "Yours"]);
    click(".list-delete");
    click(".list-delete");
    expect(document.activeElement).toBe(one('[data-view="markets"]'));
  });

  it("can get a result of a search", async () => {
    symbols.answer = () => page([found("SOL/USDT", { exchange: "kraken" })]);
    picker();
    await type("sol");
    expect(one(".list-bar").hidden).toBe(true);
    click(".market-more");
    click('[data-control="list-new"]');
    expect(one(".list-bar").hidden).toBe(false);
    (one(".list-name") as HTMLInputElement).value = "Mine";
    one("form").dispatchEvent(new Event("submit", { cancelable: true }));
    expect(settings.value.lists[0]?.symbols).toEqual(["kraken:spot:SOL/USDT"]);
  });

  it("offer timeframes that the exchange has", async () => {
    const known = listing("current", { timeframes: ["5m", "1d"] });
    symbols.answer = () => page([found("SOL/USDT")], { listings: [known] });
    picker();
    await type("sol");
    click(".market-more");
    const offered = [...root.querySelectorAll('[data-control^="timeframe-"]')];
    expect(offered.map((button) => button.textContent)).toEqual(["5m", "1d"]);
    click('[data-control="timeframe-1d"]');
    expect(picked).toEqual(["sim:spot:SOL/USDT:1d"]);
  });

  it("keep the focus on a button when figures arrive", async () => {
    const made = picker();
    made.setShown(true);
    await settle();
    one('[data-name="sim:spot:ETH/USDT"] .market-star').focus();
    stream?.push("top_markets", { items: [{ symbol: "ETH/USDT", last_price: 1 }] });
    const focused = document.activeElement as HTMLElement;
    expect(focused.closest<HTMLElement>("[data-name]")?.dataset["name"]).toBe("sim:spot:ETH/USDT");
  });
});
