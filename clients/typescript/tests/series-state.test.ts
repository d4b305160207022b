import { describe, expect, it } from "vitest";

import { strictlyAscending } from "../src/candle-list.js";
import {
  DEFAULT_KEEP,
  initialState,
  isRecovering,
  lagSeconds,
  lastClosedTime,
  MOST_KEPT,
  reduce,
  type Action,
  type SeriesState,
} from "../src/series-state.js";
import { candle, candles, seededRandom, timesOf } from "./fakes/candles.js";
import type { Candle } from "../src/candle.js";
import type { ChartChange } from "../src/chart-change.js";

const SERIES = "sim:spot:BTC/USDT:1m";

function run(actions: readonly Action[], from = initialState(SERIES)): SeriesState {
  return actions.reduce((state, action) => reduce(state, action).state, from);
}

const page = (list: readonly Candle[], complete = true, epoch: number | null = 0): Action => ({
  type: "page_loaded",
  candles: list,
  serverHead: list.at(-1)?.candle_time ?? null,
  complete,
  epoch,
});

const older = (
  list: readonly Candle[],
  { exhausted = false, epoch = 0 }: { exhausted?: boolean; epoch?: number | null } = {},
): Action => ({ type: "older_loaded", candles: list, exhausted, epoch });

const rangeRead = (since: number, epoch: number | null = null): Action => ({
  type: "range_read",
  since,
  epoch,
});

const following: Action[] = [
  page(candles(60, 3)),
  { type: "connecting" },
  { type: "socket_opened" },
];

describe("status", () => {
  it("goes from loading to backfilling to live", () => {
    expect(initialState(SERIES).status).toBe("loading");
    expect(run([page(candles(60, 3), false)]).status).toBe("backfilling");
    expect(run(following).status).toBe("live");
  });

  it("is empty when the server has nothing, and live with the first candle", () => {
    const empty = run([page([]), { type: "connecting" }, { type: "socket_opened" }]);
    expect(empty.status).toBe("empty");
    expect(run([{ type: "candle_closed", candle: candle(60) }], empty).status).toBe("live");
  });

  it("is reconnecting until the socket is open again", () => {
    const lost = run([...following, { type: "waiting", retryAt: 5, failure: null }]);
    expect([lost.status, lost.retryAt]).toEqual(["reconnecting", 5]);
    const trying = run([{ type: "connecting" }], lost);
    expect([trying.status, trying.retryAt]).toEqual(["reconnecting", null]);
    expect(run([{ type: "socket_opened" }], trying).status).toBe("live");
  });

  it("is error after a refusal and keeps the candles", () => {
    const failed = run([...following, { type: "failed", failure: { code: "x", detail: "y" } }]);
    expect([failed.status, failed.candles.length]).toEqual(["error", 3]);
  });

  it("clears capacity and silence with the next message about the series", () => {
    const refused = run([
      ...following,
      { type: "capacity", reached: true },
      { type: "stale", stale: true },
    ]);
    const followed = run([{ type: "candle_forming", candle: candle(240) }], refused);
    expect([followed.atCapacity, followed.stale]).toEqual([false, false]);
  });
});

describe("closed candles", () => {
  it("are inserted into the middle", () => {
    const state = run([page([candle(60), candle(240)]), page([candle(120), candle(180)])]);
    expect(timesOf(state.candles)).toEqual([60, 120, 180, 240]);
    expect(state.holes).toEqual([]);
  });

  it("replace the one of the same time", () => {
    const state = run([page(candles(60, 3)), page([candle(120, 7)])]);
    expect(state.candles.map((item) => item.close)).toEqual([100, 7, 100]);
  });

  it("may come in any order and twice", () => {
    const state = run([
      { type: "candles_batch", candles: [candle(180), candle(60), candle(120), candle(60, 9)] },
    ]);
    expect(timesOf(state.candles)).toEqual([60, 120, 180]);
    expect(state.candles[0]?.close).toBe(9);
  });

  it("keep the same objects when nothing changed", () => {
    const before = run(following);
    expect(run([page(candles(60, 3))], before).candles).toBe(before.candles);
  });

  it("are trimmed to the newest, with some slack", () => {
    const state = run([page(candles(60, DEFAULT_KEEP * 1.1 + 1))]);
    expect(state.candles.length).toBe(DEFAULT_KEEP);
    expect(lastClosedTime(state)).toBe(60 + DEFAULT_KEEP * 1.1 * 60);
  });

  it("stay when the user scrolled back to them", () => {
    const loaded = run([page(candles(600_060, DEFAULT_KEEP))]);
    const state = run([older(candles(60, 10_000)), { type: "candle_closed", candle: candle(900_060) }], loaded);
    expect(state.candles[0]?.candle_time).toBe(60);
    expect(state.candles.length).toBe(15_001);
  });
});

describe("the forming candle", () => {
  it("is never sent as a cursor", () => {
    const state = run([...following, { type: "candle_forming", candle: candle(240) }]);
    expect([lastClosedTime(state), state.forming?.candle_time]).toEqual([180, 240]);
  });

  it("is ignored when its time is closed already, or older than the one shown", () => {
    const state = run([...following, { type: "candle_forming", candle: candle(180, 5) }]);
    expect(state.forming).toBeNull();
    const later = run(
      [
        { type: "candle_forming", candle: candle(300) },
        { type: "candle_forming", candle: candle(240) },
      ],
      state,
    );
    expect(later.forming?.candle_time).toBe(300);
  });

  it("is replaced by the closed candle of its time", () => {
    const state = run([
      ...following,
      { type: "candle_forming", candle: candle(240) },
      { type: "candle_closed", candle: candle(240, 8) },
    ]);
    expect(state.forming).toBeNull();
    expect(state.candles.at(-1)?.close).toBe(8);
  });
});

describe("gaps", () => {
  it("show as holes until they are filled", () => {
    const gap: Action[] = [
      ...following,
      { type: "gap", from: 240, to: 360 },
      { type: "candle_closed", candle: candle(360) },
    ];
    const holed = run(gap);
    const hole = { from: 240, to: 360, missing: 2 };
    expect(holed.holes).toEqual([hole]);
    expect(isRecovering(holed, hole)).toBe(true);
    const unfilled = run([page([candle(360)]), rangeRead(180)], holed);
    expect(unfilled.holes).toEqual([hole]);
    expect(isRecovering(unfilled, hole)).toBe(false);
    const filled = run([page([candle(240), candle(300)])], unfilled);
    expect(filled.holes).toEqual([]);
  });

  it("are found anywhere in what is loaded", () => {
    const state = run([page([candle(60), candle(180), candle(240), candle(480)])]);
    expect(state.holes.map((hole) => [hole.from, hole.missing])).toEqual([
      [120, 1],
      [300, 3],
    ]);
    expect(run([older([candle(0)])], state).holes.length).toBe(2);
  });
});

describe("a revision", () => {
  it("before the first candle makes older history loadable again", () => {
    const done = run([...following, older([], { exhausted: true })]);
    expect(done.historyExhausted).toBe(true);
    expect(run([{ type: "revised", fromTime: 0 }], done).historyExhausted).toBe(false);
    expect(run([{ type: "revised", fromTime: 120 }], done).historyExhausted).toBe(true);
  });
});

describe("the beginning of history", () => {
  const whole = run([...following, older([], { exhausted: true })]);
  const first = whole.candles[0]?.candle_time as number;
  const closed = (count: number): Action => ({
    type: "candles_batch",
    candles: candles((lastClosedTime(whole) as number) + 60, count),
  });

  it("is the first candle once the server has none before it", () => {
    expect(run(following).historyBegins).toBeNull();
    expect(whole.historyBegins).toBe(first);
    expect(run([older([candle(first - 60)])], whole).historyBegins).toBeNull();
  });

  it("is not the first candle that is kept, and what was dropped can be read again", () => {
    const long = run([closed(DEFAULT_KEEP * 1.2)], whole);
    expect(long.candles[0]?.candle_time).toBeGreaterThan(first);
    expect([long.historyBegins, long.historyExhausted]).toEqual([first, false]);
  });

  it("is not where the page keeps no more", () => {
    const full = run([older(candles(first - 60 * MOST_KEPT, MOST_KEPT))], run(following));
    expect([full.historyExhausted, full.historyBegins]).toEqual([true, null]);
  });

  it("is not known after a revision before it", () => {
    expect(run([{ type: "revised", fromTime: 0 }], whole).historyBegins).toBeNull();
    expect(run([{ type: "revised", fromTime: first + 60 }], whole).historyBegins).toBe(first);
  });
});

describe("the epoch", () => {
  const epochAfter = (...actions: Action[]): number | null => run(actions).epoch;
  const recent = (epoch: number | null): Action => page(candles(600, 3), true, epoch);

  it("is the smallest of all pages", () => {
    expect(initialState(SERIES).epoch).toBeNull();
    expect(epochAfter(recent(7))).toBe(7);
    expect(epochAfter(recent(7), page(candles(780, 2), true, 9))).toBe(7);
    expect(epochAfter(recent(7), page(candles(780, 2), true, 5))).toBe(5);
    expect(epochAfter(recent(7), older([candle(60)], { epoch: 8 }))).toBe(7);
    expect(epochAfter(recent(7), older([candle(60)], { epoch: 6 }))).toBe(6);
    expect(epochAfter(recent(7), older([], { exhausted: true, epoch: 6 }))).toBe(7);
  });

  it("grows when a revision has been read, and never shrinks by that", () => {
    expect(epochAfter(recent(7), { type: "revised", fromTime: 660 })).toBe(7);
    expect(epochAfter(recent(7), rangeRead(659, 9))).toBe(9);
    expect(epochAfter(recent(7), rangeRead(659, 6))).toBe(7);
    expect(epochAfter(recent(7), rangeRead(659))).toBe(7);
  });

  it("stays unknown once a page came without one", () => {
    expect(epochAfter(recent(null))).toBeNull();
    expect(epochAfter(recent(7), page(candles(780, 2), true, null), rangeRead(0, 9))).toBeNull();
    expect(epochAfter(recent(null), page(candles(780, 2), true, 7))).toBeNull();
  });
});

describe("lag", () => {
  it("is measured against the newest candle that should be closed, by the server's clock", () => {
    const state = run(following);
    expect(lagSeconds(state, 299_000)).toBe(0);
    expect(lagSeconds(state, 300_000)).toBe(60);
    expect(lagSeconds({ ...state, clockOffsetMs: -60_000 }, 300_000)).toBe(0);
    expect(lagSeconds(initialState(SERIES), 0)).toBeNull();
  });
});

describe("chart change", () => {
  const changeAfter = (action: Action, before = run(following)): ChartChange =>
    reduce(before, action).change;

  it("is a replacement for the first page and none for a repeated one", () => {
    expect(changeAfter(page(candles(60, 3)), initialState(SERIES))).toEqual({ kind: "replace" });
    expect(changeAfter(page(candles(60, 3)))).toEqual({ kind: "none" });
  });

  it("is an update for what is new at the end", () => {
    expect(changeAfter({ type: "candle_closed", candle: candle(240) })).toEqual({
      kind: "update",
      candles: [candle(240)],
    });
    expect(changeAfter({ type: "candle_forming", candle: candle(240) })).toEqual({
      kind: "update",
      candles: [candle(240)],
    });
  });

  it("is a replacement when a shown forming candle was skipped", () => {
    const forming = run([...following, { type: "candle_forming", candle: candle(240) }]);
    expect(changeAfter({ type: "candle_closed", candle: candle(300) }, forming)).toEqual({
      kind: "replace",
    });
    expect(changeAfter({ type: "candle_closed", candle: candle(240) }, forming).kind).toBe(
      "update",
    );
  });

  it("is a replacement for a change behind the end or another series", () => {
    expect(changeAfter(page([candle(120, 5)])).kind).toBe("replace");
    expect(changeAfter(older([candle(0)])).kind).toBe("replace");
    expect(changeAfter({ type: "series_changed", seriesId: SERIES }).kind).toBe("replace");
  });
});

/** A model of the chart: applies changes literally, and rejects what the library rejects. */
class ModelChart {
  private readonly held = new Map<number, Candle>();

  follow(state: SeriesState, change: ChartChange): void {
    if (change.kind === "replace") {
      this.held.clear();
      for (const item of shown(state)) this.held.set(item.candle_time, item);
    } else if (change.kind === "update") change.candles.forEach((item) => this.update(item));
  }

  get candles(): Candle[] {
    return [...this.held.values()];
  }

  private update(item: Candle): void {
    const last = Math.max(...this.held.keys());
    if (item.candle_time < last) throw new Error("a step back");
    this.held.set(item.candle_time, item);
  }
}

const shown = (state: SeriesState): Candle[] =>
  state.forming ? [...state.candles, state.forming] : [...state.candles];

describe("any interleaving", () => {
  const HEAD = 80;

  function randomAction(random: () => number, versions: Map<number, number>): Action {
    const at = (): number => 1 + Math.floor(random() * HEAD);
    const closed = (index: number): Candle => candle(index * 60, versions.get(index) ?? 100);
    const some = (): Candle[] => {
      const start = at();
      const list = Array.from(
        { length: 1 + Math.floor(random() * 12) },
        (_, offset) => start + offset,
      );
      const thinned = list.filter((index) => index <= HEAD && random() > 0.2).map(closed);
      return random() < 0.3 ? thinned.reverse().concat(thinned.slice(0, 2)) : thinned;
    };
    const roll = random();
    if (roll < 0.2) return page(some());
    if (roll < 0.4) return { type: "candle_closed", candle: closed(at()) };
    if (roll < 0.55) return { type: "candles_batch", candles: some() };
    if (roll < 0.75) return { type: "candle_forming", candle: candle(at() * 60, random() * 100) };
    if (roll < 0.8) return older(some(), { exhausted: random() < 0.1 });
    if (roll < 0.86) return { type: "gap", from: at() * 60, to: HEAD * 60 };
    if (roll < 0.92) return rangeRead(at() * 60);
    const index = at();
    versions.set(index, 100 + Math.floor(random() * 50));
    return { type: "revised", fromTime: index * 60 };
  }

  /** The expected candles: the newest version of each time. */
  function remember(model: Map<number, Candle>, action: Action): void {
    const first = Math.min(...model.keys());
    if (action.type === "candle_closed") model.set(action.candle.candle_time, action.candle);
    if (action.type === "page_loaded" || action.type === "candles_batch") {
      for (const item of action.candles) model.set(item.candle_time, item);
    }
    if (action.type === "older_loaded") {
      for (const item of action.candles)
        if (item.candle_time < first) model.set(item.candle_time, item);
    }
  }

  it.each(Array.from({ length: 30 }, (_, seed) => seed))(
    "loses, repeats and reorders nothing (seed %i)",
    (seed) => {
      const random = seededRandom(seed);
      const versions = new Map<number, number>();
      const model = new Map<number, Candle>();
      const chart = new ModelChart();
      let state = initialState(SERIES);
      for (let turn = 0; turn < 150; turn += 1) {
        const action = randomAction(random, versions);
        const step = reduce(state, action);
        state = step.state;
        remember(model, action);
        chart.follow(state, step.change);

        const expected = [...model.values()].sort(
          (left, right) => left.candle_time - right.candle_time,
        );
        expect(state.candles).toEqual(expected);
        expect(strictlyAscending(timesOf(shown(state)))).toBe(true);
        expect(chart.candles).toEqual(shown(state));
        const missing = state.holes.reduce((sum, hole) => sum + hole.missing, 0);
        const span =
          expected.length &&
          ((expected.at(-1) as Candle).candle_time - (expected[0] as Candle).candle_time) / 60 + 1;
        expect(missing).toBe(span - expected.length);
      }
    },
  );
});
