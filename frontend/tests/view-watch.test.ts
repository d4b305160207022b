// @vitest-environment happy-dom
import { afterEach, beforeEach, expect, it, vi } from "vitest";

import { ViewWatch } from "../src/chart/view-watch";

const seen: unknown[] = [];
let move: (from: number) => void;
let watch: ViewWatch;

beforeEach(() => {
  vi.useFakeTimers();
  seen.length = 0;
  let from = 0;
  let changed = (): void => undefined;
  watch = new ViewWatch(
    {
      getVisibleLogicalRange: () => ({ from, to: from + 100 }) as never,
      scrollPosition: () => 0,
      subscribeVisibleLogicalRangeChange: (handler) => (changed = handler as () => void),
    },
    (index) => 60 * index,
    {
      nearStart: () => seen.push("near start"),
      viewed: (time) => seen.push(time / 60),
      atEnd: () => undefined,
    },
  );
  move = (to) => {
    from = to;
    changed();
  };
});

afterEach(() => vi.useRealTimers());

it("reports the first candle in view once it rests, and a view close to the start", () => {
  move(500);
  move(30.5);
  expect(seen).toEqual([]);
  vi.runAllTimers();
  expect(seen).toEqual([30, "near start"]);
});

it("does nothing for a new candle that the view follows, and reports some of them together", () => {
  move(500);
  vi.runAllTimers();
  for (let from = 501; from < 520; from += 1) move(from);
  expect(vi.getTimerCount()).toBe(0);
  move(520);
  vi.runAllTimers();
  expect(seen).toEqual([500, 520]);
});

it("reports every move back, and the first one after positions changed", () => {
  move(500);
  vi.runAllTimers();
  move(499);
  vi.runAllTimers();
  watch.forget();
  move(501);
  vi.runAllTimers();
  expect(seen).toEqual([500, 499, 501]);
});
