import { describe, expect, it } from "vitest";

import { UTC } from "../src/i18n/zone";
import { closingText, connectionSign, holeText, isFresh, retryText } from "../src/chart/connection-text";
import { initialState, reduce, type Action, type SeriesState } from "trade-canvas-client/series-state";
import { candles } from "../../clients/typescript/tests/fakes/candles";

const LAST = 180;
const ON_TIME = (LAST + 60 + 1) * 1000;

const live = (...further: Action[]): SeriesState => liveOf("sim:spot:A/B:1m", ...further);

function liveOf(seriesId: string, ...further: Action[]): SeriesState {
  const actions: Action[] = [
    { type: "page_loaded", candles: candles(60, 3), serverHead: LAST, complete: true, epoch: 0 },
    { type: "socket_opened" },
    ...further,
  ];
  return actions.reduce(
    (state, action) => reduce(state, action).state,
    initialState(seriesId),
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
    const hole = { from: 60, to: 240, missing: 3 };
    expect(holeText(live(), hole, UTC)).toBe("3 candles missing 00:01–00:03");
    const one = { ...hole, to: 120, missing: 1 };
    expect(holeText(live(), one, UTC)).toBe("1 candle missing 00:01");
    const gap: Action = { type: "gap", from: hole.from, to: hole.to };
    expect(holeText(live(gap), hole, UTC)).toBe("3 candles missing 00:01–00:03, recovering…");
  });

  it("date missing candles that are not of the newest candle's day, and days without a clock", () => {
    const at = (day: number, hour: number, minute = 0): number =>
      Date.UTC(1969, 11, day, hour, minute) / 1000;
    const text = (from: number, to: number, missing: number, seriesId?: string): string =>
      holeText(seriesId === undefined ? live() : liveOf(seriesId), { from, to, missing }, UTC);
    expect(text(at(30, 12, 1), at(30, 12, 2), 1)).toBe("1 candle missing 1969-12-30 12:01");
    expect(text(at(30, 12, 1), at(30, 12, 4), 3)).toBe("3 candles missing 1969-12-30 12:01–12:03");
    expect(text(at(30, 23, 59), at(31, 0, 1), 2)).toBe(
      "2 candles missing 1969-12-30 23:59 – 1969-12-31 00:00",
    );
    const days = "sim:spot:A/B:1d";
    expect(text(at(30, 0), at(31, 0), 1, days)).toBe("1 candle missing 1969-12-30");
    expect(text(at(29, 0), at(31, 0), 2, days)).toBe("2 candles missing 1969-12-29 – 1969-12-30");
  });
});
