import { beforeEach, describe, expect, it } from "vitest";

import { timeOf } from "../src/chart/time-axis";
import { AHEAD, TimesAhead } from "../src/chart/times-ahead";

let sets: number[][];
let ahead: TimesAhead;

beforeEach(() => {
  sets = [];
  ahead = new TimesAhead({ setData: (rows) => sets.push(rows.map(({ time }) => timeOf(time))) });
});

function show(...times: number[]): void {
  for (const time of times) {
    ahead.reach(time);
    ahead.follow(time, (at) => at + 60);
  }
}

describe("TimesAhead", () => {
  it("adds times behind the newest candle, and more once they are used up", () => {
    show(60);
    expect([sets.length, sets[0]?.length, sets[0]?.[0]]).toEqual([1, AHEAD, 120]);
    for (let time = 120; time < 60 * (AHEAD + 1); time += 60) show(time, time);
    expect(sets).toHaveLength(1);
    show(60 * (AHEAD + 1));
    expect([sets.length, sets[1]?.[0]]).toEqual([2, 60 * (AHEAD + 2)]);
  });

  it("leaves no time where candles are missing", () => {
    show(60, 240);
    expect(sets.map((times) => times[0])).toEqual([120, undefined, 300]);
  });

  it("replaces its times before other candles come, unless they have the same end", () => {
    const after = (at: number): number => at + 60;
    ahead.begin(600, after);
    ahead.begin(600, after);
    ahead.begin(60, after);
    ahead.follow(60, after);
    ahead.begin(120, after);
    expect(sets.map((times) => times[0])).toEqual([660, 120, 180]);
  });

  it("is cleared before other candles, and only if there is something to clear", () => {
    ahead.clear();
    show(600);
    ahead.clear();
    show(60);
    expect(sets.map((times) => times[0])).toEqual([660, undefined, 120]);
  });
});
