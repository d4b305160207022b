// @vitest-environment happy-dom
import { describe, expect, it } from "vitest";

import { TimeframeBar } from "../src/shell/timeframe-bar";
import { parseSeriesId } from "trade-canvas-client/series-id";

function barOf(current: string, whitelist: string[], derived: string[]) {
  const roots = { row: document.createElement("div"), list: document.createElement("select") };
  const bar = new TimeframeBar(roots, () => {});
  bar.setDerived(derived);
  bar.render(parseSeriesId(current), whitelist);
  const buttons = [...roots.row.querySelectorAll<HTMLElement>("button")];
  return {
    offered: buttons.map((button) => button.textContent),
    followed: buttons.filter((each) => "followed" in each.dataset).map((each) => each.textContent),
  };
}

describe("TimeframeBar", () => {
  it("offers the standard timeframes, and marks those that are whitelisted", () => {
    const { offered, followed } = barOf("sim:spot:BTC/USDT:1m", ["sim:spot:BTC/USDT:1m"], []);
    expect(offered).toEqual(["1m", "5m", "15m", "1h", "4h", "1d"]);
    expect(followed).toEqual(["1m"]);
  });

  it("offers derived timeframes; all of them are followed with one of them", () => {
    const derived = ["1m", "7m", "1w"];
    const { offered, followed } = barOf("sim:spot:BTC/USDT:1m", ["sim:spot:BTC/USDT:7m"], derived);
    expect(offered).toEqual(["1m", "5m", "7m", "15m", "1h", "4h", "1d", "1w"]);
    expect(followed).toEqual(derived);
    expect(barOf("sim:spot:ETH/USDT:1m", ["sim:spot:BTC/USDT:7m"], derived).followed).toEqual([]);
  });
});
