/**
 * Times of candles to come on the time axis.
 *
 * When the axis grows, the library goes through all rows of all series. A candle whose time is
 * there already changes its own series alone, so its cost does not grow with the history.
 */

import { axisTime } from "./time-axis";
import type { UnseenSeries } from "./unseen-series";

/** How many times are added at once. */
export const AHEAD = 60;

export class TimesAhead {
  private readonly series: Pick<UnseenSeries, "setData">;
  private after: (time: number) => number = (time) => time;
  private newest = Infinity;
  private last = -Infinity;

  /** `series` has nothing but these times. */
  constructor(series: Pick<UnseenSeries, "setData">) {
    this.series = series;
  }

  /** To be called before all candles are replaced, with the newest of those to come. */
  begin(newest: number, after: (time: number) => number): void {
    if (newest === this.newest) return;
    this.last = -Infinity;
    this.follow(newest, after);
  }

  /** To be called before all candles are removed, or replaced by those of another series. */
  clear(): void {
    if (this.last !== -Infinity) this.series.setData([]);
    this.newest = Infinity;
    this.last = -Infinity;
  }

  /** To be called before a candle of this time is shown: the axis must not have times before it. */
  reach(time: number): void {
    if (time > this.newest && time !== this.after(this.newest)) this.clear();
  }

  /** To be called once the newest candle is shown; `after` gives the time of the next one. */
  follow(newest: number, after: (time: number) => number): void {
    this.newest = newest;
    this.after = after;
    if (newest < this.last) return;
    const times: number[] = [];
    for (let time = newest; times.length < AHEAD; ) times.push((time = after(time)));
    this.last = times.at(-1) as number;
    this.series.setData(times.map((time) => ({ time: axisTime(time) })));
  }
}
