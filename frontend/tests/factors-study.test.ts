import { beforeEach, describe, expect, it } from "vitest";

import { drawnIds, NOTHING_HELD, type HeldScene } from "../src/drawings/overlay-layer";
import { ApiError } from "trade-canvas-client/http";
import { EMPTY_SCENE, type Scene } from "../src/drawings/scene";
import { SettingsStore } from "../src/settings/settings";
import { readCatalog } from "../src/studies/catalog";
import { FactorStudy } from "../src/studies/factors";
import { FeatureSwitches } from "../src/studies/feature-switches";
import { initialState, reduce, type Action, type SeriesState } from "trade-canvas-client/series-state";
import { candle, candles } from "../../clients/typescript/tests/fakes/candles";
import { FakeClock, settle } from "../../clients/typescript/tests/fakes/clock";
import { delta, FakeDrawings, line, mark, version } from "./fakes/drawings";
import { unreachable } from "../../clients/typescript/tests/fakes/server";
import type { Factor } from "../src/studies/factor-catalog";

const SERIES = "sim:spot:BTC/USDT:1m";
const OTHER = "sim:spot:ETH/USDT:1m";
const HOUR = 3600;
const CATALOG: Factor[] = [
  {
    key: "pivot",
    label: "Pivot",
    defaultVisible: true,
    subFeatures: [
      { key: "pivot.major", label: "Major", defaultVisible: true },
      { key: "pivot.minor", label: "Minor", defaultVisible: false },
    ],
  },
];
const BASELINE = delta(180, [
  version(1, "major", mark("pivot.major", 60)),
  version(2, "minor", mark("pivot.minor", 120)),
  version(3, "line", line("pen.confirmed", [60, 180])),
]);

class FakeLayer {
  scene: Scene = EMPTY_SCENE;
  shows = 0;
  left = 0;

  show(scene: Scene): void {
    this.scene = scene;
    this.shows += 1;
  }

  drawn(): Record<string, string[]> {
    return drawnIds(this.scene);
  }

  held(): HeldScene {
    return { ...NOTHING_HELD, ...this.scene };
  }

  restyle(): void {}

  stepDrawing(): boolean {
    return true;
  }

  leaveDrawings(): boolean {
    this.left += 1;
    return true;
  }

  remove(): void {
    this.scene = EMPTY_SCENE;
  }
}

class FakeApi extends FakeDrawings {
  readonly catalogs: (Factor[] | ApiError)[] = [];

  async factorCatalog(): Promise<Factor[]> {
    const answer = this.catalogs.shift() ?? CATALOG;
    if (answer instanceof ApiError) throw answer;
    return answer;
  }
}

let layer: FakeLayer;
let api: FakeApi;
let clock: FakeClock;
let kept: string | null;
let switches: FeatureSwitches;

beforeEach(() => {
  layer = new FakeLayer();
  api = new FakeApi();
  clock = new FakeClock();
  kept = null;
});

function study(): FactorStudy {
  const storage = { getItem: () => kept, setItem: (_: string, value: string) => (kept = value) };
  switches = new FeatureSwitches(new SettingsStore(() => storage));
  const dependencies = { api, clock, random: () => 0.5 };
  void readCatalog(dependencies, switches);
  const made = new FactorStudy(dependencies, switches, { drawn: () => undefined });
  made.show(layer);
  return made;
}

function loaded(seriesId = SERIES, ...more: Action[]): SeriesState {
  const page: Action = {
    type: "page_loaded",
    candles: candles(60, 3),
    serverHead: 180,
    complete: true,
    epoch: 0,
  };
  return [page, ...more].reduce(
    (state, action) => reduce(state, action).state,
    initialState(seriesId),
  );
}

async function drawn(): Promise<FactorStudy> {
  const made = study();
  api.baselines.push(BASELINE);
  made.apply(loaded());
  made.painted();
  await settle();
  return made;
}

const choose = (key: string, on: boolean): void => switches.choose({ key, on });

describe("FactorStudy", () => {
  it("draws what the catalog shows, and features that it lacks", async () => {
    await drawn();
    expect(layer.drawn()).toEqual({ "pivot.major": ["major"], "pen.confirmed": ["line"] });
  });

  it("follows the user's switches and remembers them", async () => {
    await drawn();
    choose("pivot.minor", true);
    expect(layer.drawn()["pivot.minor"]).toEqual(["minor"]);
    choose("pivot", false);
    expect(Object.keys(layer.drawn())).toEqual(["pen.confirmed"]);
    await drawn();
    expect(Object.keys(layer.drawn())).toEqual(["pen.confirmed"]);
    choose("pivot", true);
    expect(Object.keys(layer.drawn())).toEqual(["pivot.major", "pivot.minor", "pen.confirmed"]);
  });

  it("reads nothing before the candles are painted", async () => {
    const made = study();
    api.baselines.push(BASELINE);
    made.apply(loaded());
    await clock.advance(1_000);
    expect(api.asked).toEqual([]);
    made.painted();
    await settle();
    expect(api.asked).toEqual([`baseline ${SERIES}`]);
  });

  it("draws nothing before it has the catalog, and then in its looks", async () => {
    const look = { color: "amber" };
    const [pivot] = CATALOG as [Factor];
    const features = pivot.subFeatures.map((feature) => ({ ...feature, look }));
    let answer: (catalog: Factor[]) => void = () => undefined;
    api.factorCatalog = () => new Promise((resolve) => (answer = resolve));
    await drawn();
    expect([api.asked.length, layer.shows]).toEqual([1, 0]);
    answer([{ ...pivot, subFeatures: features }]);
    await settle();
    expect([layer.shows, layer.scene.markers.map(({ color }) => color)]).toEqual([1, ["amber"]]);
  });

  it("draws everything where the server has no catalog", async () => {
    api.catalogs.push(new ApiError(404, "not_found", "Not Found"));
    await drawn();
    await clock.advance(60_000);
    expect([switches.features.length, Object.keys(layer.drawn()).length]).toEqual([0, 3]);
  });

  it("requests the catalog again when the server did not answer", async () => {
    api.catalogs.push(unreachable());
    await drawn();
    expect(switches.features).toEqual([]);
    await clock.advance(5_000);
    expect([switches.features.length, Object.keys(layer.drawn()).length]).toEqual([1, 2]);
  });

  it("requests the changes of a closed candle, and nothing for a forming one", async () => {
    const made = await drawn();
    made.apply(loaded(SERIES, { type: "candle_forming", candle: candle(240) }));
    await clock.advance(1_000);
    expect(api.asked.length).toBe(1);
    api.deltas.push(delta(240, [version(4, "new", mark("pivot.major", 180))]));
    made.apply(loaded(SERIES, { type: "candle_closed", candle: candle(240) }));
    await clock.advance(1_000);
    expect([api.asked.length, layer.drawn()]).toEqual([2, { "pivot.major": ["new"] }]);
  });

  it("draws once for a candle and the open one after it, and at once when candles move", async () => {
    const made = await drawn();
    const before = layer.shows;
    const closed: Action = { type: "candle_closed", candle: candle(360) };
    made.apply(loaded(SERIES, closed));
    made.apply(loaded(SERIES, closed, { type: "candle_forming", candle: candle(420) }));
    expect(layer.shows).toBe(before);
    await clock.advance(100);
    expect(layer.shows).toBe(before + 1);
    const missing: Action = { type: "candles_batch", candles: candles(240, 2) };
    made.apply(loaded(SERIES, closed, missing));
    expect(layer.shows).toBe(before + 2);
  });

  it("shows nothing of the previous series", async () => {
    const made = await drawn();
    made.apply(initialState(OTHER));
    expect(layer.drawn()).toEqual({});
    api.baselines.push(delta(180, [version(9, "other", mark("pivot.major", 60))]));
    made.apply(loaded(OTHER));
    made.painted();
    await settle();
    expect([layer.drawn(), api.asked.at(-1)]).toEqual([
      { "pivot.major": ["other"] },
      `baseline ${OTHER}`,
    ]);
  });

  it("adds older drawings once those are in view", async () => {
    const made = study();
    const toTime = 3000 * HOUR;
    api.baselines.push(delta(toTime, [version(9, "new", mark("pivot.major", toTime))]));
    const long: Action = {
      type: "page_loaded",
      candles: candles(HOUR, 3000, HOUR),
      serverHead: toTime,
      complete: true,
      epoch: 0,
    };
    made.apply(reduce(initialState(SERIES.replace("1m", "1h")), long).state);
    made.painted();
    await settle();
    made.viewed(2000 * HOUR);
    await settle();
    expect(api.asked).toEqual([`baseline ${SERIES.replace("1m", "1h")}`]);
    api.pasts.push(delta(1000 * HOUR, [version(3, "old", mark("pivot.major", 500 * HOUR))]));
    made.viewed(900 * HOUR);
    await settle();
    expect([api.asked.at(-1), layer.drawn()]).toEqual([
      `at ${1000 * HOUR}`,
      { "pivot.major": ["new", "old"] },
    ]);
    made.apply(loaded());
    expect(layer.drawn()).toEqual({});
  });

  it("reads again when the ledger was rewritten", async () => {
    const made = await drawn();
    api.baselines.push(delta(180, [version(30, "again", mark("pivot.major", 60))]));
    made.rewritten();
    await clock.advance(1_000);
    expect(layer.drawn()).toEqual({ "pivot.major": ["again"] });
  });
});
