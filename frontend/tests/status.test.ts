import { describe, expect, it } from "vitest";

import { UTC } from "../src/i18n/zone";
import { factsOf, overallOf } from "../src/shell/status";
import { initialState, reduce } from "trade-canvas-client/series-state";
import { candles } from "../../clients/typescript/tests/fakes/candles";
import type { Sign } from "../src/chart/connection-text";
import type { Lamp } from "../src/panels/lamps";

const LIVE: Sign = { tone: "good", label: "Live", explanation: "" };
const lamp = (state: Lamp["state"], tone: Lamp["tone"]): Lamp => ({
  state,
  tone,
  label: "a long text",
  explanation: "",
});
const GOOD = lamp("ok", "good");
const ALL_GOOD = { candles: GOOD, derived: null, factors: GOOD, drawings: GOOD };

describe("the overall status", () => {
  it.each([
    ["everything is well", LIVE, ALL_GOOD, ["good", "Live"]],
    ["the lamps are not known", LIVE, null, ["good", "Live"]],
    [
      "the server draws nothing",
      LIVE,
      { candles: lamp("unknown", "off"), derived: null, factors: null, drawings: null },
      ["good", "Live"],
    ],
    [
      "the connection is lost, whatever else",
      { tone: "warning", label: "Reconnecting", explanation: "" } as const,
      { ...ALL_GOOD, candles: lamp("lagging", "bad") },
      ["warning", "Reconnecting"],
    ],
    [
      "candles are late, and drawings too",
      LIVE,
      { ...ALL_GOOD, candles: lamp("lagging", "bad"), drawings: lamp("lagging", "warning") },
      ["bad", "Delayed"],
    ],
    [
      "history is being read",
      LIVE,
      { ...ALL_GOOD, candles: lamp("rebuilding", "warning") },
      ["warning", "Backfilling"],
    ],
    [
      "factors are late",
      LIVE,
      { ...ALL_GOOD, factors: lamp("lagging", "warning") },
      ["warning", "Factors late"],
    ],
    [
      "drawings can not be read",
      LIVE,
      { ...ALL_GOOD, drawings: lamp("unknown", "bad") },
      ["bad", "Drawings late"],
    ],
  ])("when %s", (_, connection, lamps, [tone, word]) => {
    expect(overallOf(connection, lamps)).toEqual({ tone, word });
  });
});

describe("the figures", () => {
  const texts = (now: number): unknown[] => {
    const { state } = reduce(initialState("sim:spot:BTC/USDT:1m"), {
      type: "page_loaded",
      candles: candles(60, 3),
      serverHead: 180,
      complete: true,
      epoch: 0,
    });
    return factsOf(state, now, UTC).map(({ name, text, warns }) => [name, text, warns]);
  };

  it("are those of the newest candle", () => {
    expect(texts(245_000)).toEqual([
      ["Lag", "0s", false],
      ["Last close", "1970-01-01 00:04", false],
      ["Closes in", null, false],
      ["Loaded", "3", false],
      ["Gaps", null, true],
      ["Times", "UTC", false],
    ]);
  });

  it("warn of a lag of two candles", () => {
    expect(texts(365_000)[0]).toEqual(["Lag", "2m", true]);
  });
});
