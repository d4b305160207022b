// @vitest-environment happy-dom
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { afterPaint, once, SharedWork } from "../src/later";
import { TabTitle } from "../src/shell/tab-title";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe("afterPaint", () => {
  it("runs once after a frame", () => {
    const runs: string[] = [];
    afterPaint(() => runs.push("work"));
    window.requestAnimationFrame(() => runs.push("frame"));
    vi.advanceTimersByTime(1000);
    expect(runs).toEqual(["frame", "work"]);
  });

  it("runs without a frame too", () => {
    const frame = vi.spyOn(window, "requestAnimationFrame").mockReturnValue(0);
    let runs = 0;
    afterPaint(() => (runs += 1));
    vi.advanceTimersByTime(1000);
    expect(runs).toBe(1);
    frame.mockRestore();
  });
});

describe("SharedWork", () => {
  it("is done with the next change of the page, once", () => {
    let runs = 0;
    const work = new SharedWork(300, () => (runs += 1));
    work.share();
    expect(runs).toBe(0);
    work.want();
    work.want();
    work.share();
    work.share();
    vi.advanceTimersByTime(1000);
    expect(runs).toBe(1);
  });

  it("does not wait long for a change", () => {
    let runs = 0;
    const work = new SharedWork(300, () => (runs += 1));
    for (let second = 1; second <= 2; second += 1) {
      work.want();
      vi.advanceTimersByTime(299);
      expect(runs).toBe(second - 1);
      vi.advanceTimersByTime(1);
      expect(runs).toBe(second);
    }
  });
});

describe("once", () => {
  it("makes a thing when it is first needed", () => {
    let made = 0;
    const thing = once(() => ({ number: (made += 1) }));
    expect(made).toBe(0);
    expect([thing().number, thing().number]).toEqual([1, 1]);
  });
});

describe("TabTitle", () => {
  it("shows another subject at once, and another price with the third tick", () => {
    const title = new TabTitle();
    title.show("1 BTC", "BTC");
    expect(document.title).toBe("1 BTC");
    title.show("2 BTC", "BTC");
    title.tick();
    title.tick();
    expect(document.title).toBe("1 BTC");
    title.tick();
    expect(document.title).toBe("2 BTC");
    title.show("3 ETH", "ETH");
    expect(document.title).toBe("3 ETH");
    Object.defineProperty(document, "hidden", { value: true, configurable: true });
    title.show("4 ETH", "ETH");
    title.tick();
    expect(document.title).toBe("4 ETH");
    Object.defineProperty(document, "hidden", { value: false, configurable: true });
  });
});
