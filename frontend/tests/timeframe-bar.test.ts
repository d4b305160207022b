// @vitest-environment happy-dom
import { describe, expect, it } from "vitest";

import { TimeframeBar } from "../src/shell/timeframe-bar";
import { parseSeriesId } from "trade-canvas-client/series-id";

const buttonsOf = (row: HTMLElement): HTMLElement[] => [
  ...row.querySelectorAll<HTMLElement>("button"),
];

function barOf(current: string, whitelist: string[], derived: string[]) {
  const roots = { row: document.createElement("div"), list: document.createElement("select") };
  const bar = new TimeframeBar(roots, () => {});
  bar.setDerived(derived);
  bar.render(parseSeriesId(current), whitelist);
  const buttons = buttonsOf(roots.row);
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

  it("keeps its buttons for another series, and the focus on them", () => {
    const roots = { row: document.createElement("div"), list: document.createElement("select") };
    document.body.replaceChildren(roots.row, roots.list);
    const picked: string[] = [];
    const bar = new TimeframeBar(roots, (text) => picked.push(text));
    bar.render(parseSeriesId("sim:spot:BTC/USDT:1m"), []);
    const before = buttonsOf(roots.row);
    const hour = before[3] as HTMLElement;
    hour.focus();
    bar.setDerived(["7m"]);
    bar.render(parseSeriesId("sim:spot:ETH/USDT:1h"), ["sim:spot:ETH/USDT:1h"]);
    const after = buttonsOf(roots.row);
    expect(after.filter((each) => before.includes(each))).toEqual(before);
    expect([document.activeElement, hour.getAttribute("aria-pressed"), "followed" in hour.dataset]).toEqual(
      [hour, "true", true],
    );
    hour.click();
    expect([picked, roots.list.value]).toEqual([["1h"], "1h"]);
  });
});
