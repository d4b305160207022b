import { describe, expect, it } from "vitest";

import { UTC } from "../src/i18n/zone";
import { closingText, connectionSign, holeText, isFresh, retryText } from "../src/chart/connection-text";
import { initialState, reduce, type Action, type SeriesState } from "trade-canvas-client/series-state";
import { candles } from "../../clients/typescript/tests/fakes/candles";

const LAST = 180;
const ON_TIME = (LAST + 60 + 1) * 1000;

function live(...further: Action[]): SeriesState {
  const actions: Action[] = [
    { type: "page_loaded", candles: candles(60, 3), serverHead: LAST, complete: true, epoch: 0 },
    { type: "socket_opened" },
    ...further,
  ];
  return actions.reduce(
    (state, action) => reduce(state, action).state,
    initialState("sim:spot:A/B:1m"),
  );
}

const labelOf = (state: SeriesState, now = ON_TIME): string => connectionSign(state, now).label;

describe("connectionSign", () => {
  it("has a label for every status", () => {
    const failure = { code: "x", detail: "why" };
    expect(labelOf(initialState("sim:spot:A/B:1m"))).toBe("Loading");
    expect(labelOf(live())).toBe("Live");
    expect(labelOf(live({ type: "stale", stale: true }))).toBe("Quiet");
    expect(labelOf(live({ type: "capacity", reached: true }))).toBe("Capacity reached");
    expect(labelOf(live({ type: "waiting", retryAt: 0, failure }))).toBe("Reconnecting");
    expect(labelOf(live({ type: "failed", failure }))).toBe("Error");
  });

  it("of a halted market is never live, however new its candles are", () => {
    const halted = live({ type: "halted", halted: true });
    expect(labelOf(halted)).toBe("Halted");
    expect(isFresh(halted, ON_TIME)).toBe(false);
    expect(closingText(halted, ON_TIME)).toBeNull();
    const traded = reduce(halted, { type: "halted", halted: false }).state;
    expect(labelOf(traded)).toBe("Live");
  });

  it("warns when the newest candle is two candles late, not before", () => {
    expect(labelOf(live(), ON_TIME + 60_000)).toBe("Live");
    expect(labelOf(live(), ON_TIME + 120_000)).toBe("Behind");
  });
});

describe("texts", () => {
  it("count down to the next attempt and to the close", () => {
    const waiting = live({ type: "waiting", retryAt: 5000, failure: null });
    expect(retryText(waiting, 2500)).toBe("Next try in 3 s");
    expect(retryText(waiting, 5000)).toBe("Trying now…");
    expect(closingText(live(), ON_TIME)).toBe("00:59");
    expect(closingText(waiting, ON_TIME)).toBeNull();
  });

  it("name the missing candles, and whether they are being read again", () => {
    const at = (hour: number, minute: number): number =>
      Date.UTC(2026, 0, 5, hour, minute) / 1000;
    const hole = { from: at(12, 1), to: at(12, 4), missing: 3 };
    expect(holeText(live(), hole, UTC)).toBe("3 candles missing 12:01–12:03");
    expect(holeText(live(), { ...hole, to: at(12, 2), missing: 1 }, UTC)).toBe(
      "1 candle missing 12:01",
    );
    const gap: Action = { type: "gap", from: hole.from, to: hole.to };
    expect(holeText(live(gap), hole, UTC)).toBe("3 candles missing 12:01–12:03, recovering…");
  });
});
