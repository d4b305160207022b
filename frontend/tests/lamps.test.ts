import { describe, expect, it } from "vitest";

import { UTC } from "../src/i18n/zone";
import { ApiError } from "trade-canvas-client/http";
import { parseCandleHealth, parseFactorHealth } from "trade-canvas-client/health";
import { candleLamp, derivedLamp, drawingLamp, factorLamp, type DrawingsState } from "../src/panels/lamps";
import { unreachable } from "../../clients/typescript/tests/fakes/server";
import type { Reading } from "../src/sync/health-watch";

const CANDLES = {
  status: "green",
  status_reason: "up_to_date",
  head_time: 1_700_000_000,
  missing_seconds: 0,
  backfill: { state: "idle", progress_pct: 100.0 },
};
const FACTORS = {
  status: "green",
  status_reason: "up_to_date",
  store_head_time: 1_700_000_000,
  factor_head_time: 1_700_000_000,
  overlay_head_time: 1_700_000_000,
  max_delay_seconds: 0,
};

function read<Health>(health: Health | null): Reading<Health> {
  if (health === null) throw new Error("not readable");
  return { health };
}

const candleWords = (more: object): string[] => {
  const { state, tone, label } = candleLamp(read(parseCandleHealth({ ...CANDLES, ...more })), UTC);
  return [state, tone, label];
};

const drawingWords = (more: object, drawn: Partial<DrawingsState> = {}): unknown[] => {
  const reading = read(parseFactorHealth({ ...FACTORS, ...more }));
  const lamp = drawingLamp({ status: "ready", older: "complete", reading, ...drawn }, UTC);
  return lamp === null ? [] : [lamp.state, lamp.tone, lamp.label];
};

describe("the candle lamp", () => {
  it.each([
    [{}, ["ok", "good", "Latest"]],
    [{ is_halted: true }, ["lagging", "warning", "Halted"]],
    [{ is_halted: true, status: "red", missing_seconds: 9_000 }, ["lagging", "warning", "Halted"]],
    [
      {
        status: "yellow",
        missing_seconds: 11_000,
        backfill: { state: "running", progress_pct: 42.9 },
      },
      ["rebuilding", "warning", "Backfilling 42% · missing 3h 4m"],
    ],
    [
      { status: "yellow", missing_seconds: 61, backfill: { state: "succeeded" } },
      ["rebuilding", "warning", "Backfilled · missing 2m"],
    ],
    [
      { status: "yellow", status_reason: "head_ahead_of_closed_window" },
      ["lagging", "warning", "Ahead of the clock"],
    ],
    [{ status: "red", missing_seconds: 300 }, ["lagging", "bad", "Delayed · missing 5m"]],
    [{ status: "red", head_time: null, missing_seconds: null }, ["lagging", "bad", "No candles"]],
  ])("for %j", (more, words) => {
    expect(candleWords(more)).toEqual(words);
  });

  it("is gray while nothing is known, and explains why", () => {
    expect(candleLamp(null, UTC).state).toBe("unknown");
    const off = candleLamp({ error: new ApiError(404, "not_found", "not_found") }, UTC);
    expect([off.tone, off.explanation]).toEqual(["off", "The server does not report this"]);
    expect(candleLamp({ error: unreachable() }, UTC).explanation).toBe("unreachable");
  });
});

describe("the lamp of a derived series", () => {
  const DERIVED = {
    state: "made",
    base_series_id: "sim:spot:BTC/USDT:1m",
    base_head_time: 1_700_000_040,
    made_to_time: 1_699_999_980,
    incomplete: null,
  };
  const derivedWords = (derived: object | undefined): unknown[] => {
    const found = derivedLamp(read(parseCandleHealth({ ...CANDLES, derived })), UTC);
    return found === null ? [] : [found.state, found.tone, found.label, found.explanation];
  };

  it.each([
    ["made", ["ok", "good", "Follows its base", "Made of the candles of 1m"]],
    [
      "filling",
      ["rebuilding", "good", "Follows its base", "Older candles are still to be made of 1m"],
    ],
    [
      "incomplete",
      ["lagging", "warning", "Incomplete", "Candles of 1m are missing in its newest one"],
    ],
    [
      "base_late",
      ["lagging", "warning", "Base is late", "The newest candle of 1m is of 2023-11-14 22:14"],
    ],
    [
      "behind",
      [
        "lagging",
        "bad",
        "Behind its base",
        "Made of the candles of 1m up to 2023-11-14 22:13 only",
      ],
    ],
    ["not_made", ["unknown", "busy", "Waiting", "Nothing has been made of 1m yet"]],
  ])("for %s", (state, words) => {
    expect(derivedWords({ ...DERIVED, state })).toEqual(words);
  });

  it("says that a series is stopped, of which no base is known any more", () => {
    const derived = { ...DERIVED, state: "not_derived", base_series_id: null };
    expect(derivedWords(derived)).toEqual([
      "lagging",
      "bad",
      "Stopped",
      "No longer made by the server, which takes no other candles; made up to 2023-11-14 22:13",
    ]);
  });

  it("is not there for other series, and for a state of a later server", () => {
    expect(derivedWords(undefined)).toEqual([]);
    expect(derivedWords({ ...DERIVED, state: "resting" })).toEqual([]);
    expect(derivedLamp(null, UTC)).toBeNull();
  });
});

describe("the drawing lamp", () => {
  it.each([
    [{}, ["ok", "good", "Latest"]],
    [{ status: "yellow", max_delay_seconds: 60 }, ["lagging", "warning", "Behind 1m"]],
    [{ status: "red", max_delay_seconds: 301 }, ["lagging", "bad", "Behind 6m"]],
    [{ status: "red", overlay_head_time: null }, ["rebuilding", "warning", "Computing"]],
    [{ status: "gray", store_head_time: null }, ["unknown", "off", "Unknown"]],
  ])("for %j", (more, words) => {
    expect(drawingWords(more)).toEqual(words);
  });

  it("prefers a problem of the drawings on the page", () => {
    expect(drawingWords({}, { status: "behind" })[0]).toBe("rebuilding");
    expect(drawingWords({}, { status: "error" })).toEqual(["unknown", "bad", "No answer"]);
    expect(drawingWords({}, { older: "failed" })[2]).toBe("Older missing");
    expect(drawingWords({}, { status: "off" })).toEqual([]);
  });

  it("is gray when the server does not answer", () => {
    expect(drawingWords({}, { reading: { error: unreachable() } })[1]).toBe("off");
  });
});

describe("the factor lamp", () => {
  const words = (more: object): unknown[] => {
    const lamp = factorLamp(read(parseFactorHealth({ ...FACTORS, ...more })), UTC);
    return [lamp?.state, lamp?.label];
  };

  it.each([
    [{}, ["ok", "Latest"]],
    [{ factor_head_time: 1_700_000_000 - 3600 }, ["lagging", "Behind 1h"]],
    [{ factor_head_time: null }, ["rebuilding", "Computing"]],
    [{ store_head_time: null }, ["unknown", "Unknown"]],
    // The drawings may be behind while the factors are not.
    [{ status: "red", overlay_head_time: null }, ["ok", "Latest"]],
  ])("for %j", (more, expected) => {
    expect(words(more)).toEqual(expected);
  });

  it("is absent where the server computes no factors", () => {
    expect(factorLamp({ error: new ApiError(404, "not_found", "not_found") }, UTC)).toBeNull();
    expect(factorLamp({ error: unreachable() }, UTC)?.state).toBe("unknown");
  });
});

describe("health answers", () => {
  it("are rejected when malformed", () => {
    expect([parseCandleHealth({}), parseFactorHealth({ status: "purple" })]).toEqual([null, null]);
  });
});
