/** Positions of times among the loaded candles. */

import { lowerBound } from "trade-canvas-client/candle-list";
import type { Candle } from "trade-canvas-client/candle";
import type { Timeframe } from "trade-canvas-client/timeframe";

/** The candles on the chart. */
export interface Loaded {
  readonly candles: readonly Candle[];
  readonly forming: Candle | null;
  /** Seconds from one candle to the next. */
  readonly step: number;
  /** Needed where their length changes. */
  readonly timeframe?: Timeframe;
}

export class Axis {
  /** Position of the newest candle, the forming one included; -1 without candles. */
  readonly last: number;
  private readonly loaded: Loaded;
  private readonly first: number;
  private readonly end: number;

  constructor(loaded: Loaded) {
    const { candles, forming } = loaded;
    this.loaded = loaded;
    this.last = candles.length - (forming === null ? 1 : 0);
    this.first = this.at(0)?.candle_time ?? 0;
    this.end = this.at(this.last)?.candle_time ?? 0;
  }

  /** Whether all closed candles of another axis have the same positions on this one. */
  continues(other: Axis): boolean {
    const [now, before] = [this.loaded, other.loaded];
    const last = before.candles.length - 1;
    const stays = (index: number): boolean =>
      before.candles[index]?.candle_time === now.candles[index]?.candle_time;
    return last >= 0 && now.step === before.step && stays(0) && stays(last);
  }

  /** Whether candles to come leave the position of a time as it is. */
  isSettled(time: number): boolean {
    return time <= (this.loaded.candles.at(-1)?.candle_time ?? -Infinity);
  }

  has(time: number): boolean {
    return time >= this.first && time <= this.end;
  }

  at(index: number): Candle | undefined {
    const { candles, forming } = this.loaded;
    return candles[index] ?? forming ?? candles.at(-1);
  }

  /** Times outside the loaded candles are extrapolated without holes. */
  indexOf(time: number): number {
    if (time < this.first) return this.steps(this.first, time);
    if (time > this.end) return this.last + this.steps(this.end, time);
    const index = lowerBound(this.loaded.candles, time);
    const at = this.at(index)?.candle_time ?? 0;
    if (at === time) return index;
    const before = this.at(index - 1)?.candle_time ?? 0;
    return index - 1 + (time - before) / (at - before);
  }

  /** How many candles a time is from the open time of one. */
  private steps(from: number, to: number): number {
    const { step, timeframe } = this.loaded;
    const calendar = timeframe?.calendar;
    if (calendar === undefined) return (to - from) / step;
    const number = calendar.numberOf(to);
    const open = calendar.openOf(number);
    const part = (to - open) / (calendar.openOf(number + 1) - open);
    return calendar.steps(from, to) + part;
  }
}
