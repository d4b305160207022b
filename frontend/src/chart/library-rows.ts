/**
 * What the library holds of the candles: the times of all, for its axis, and the newest, by whose
 * series prices have coordinates. The candles themselves are painted by `CandleBars`.
 *
 * The library would hold each candle twice more, as a row and as something to draw, and go through
 * all rows of a series whenever one of them changes.
 */

import type { UTCTimestamp } from "lightweight-charts";

import type { Candle } from "trade-canvas-client/candle";
import { axisTime } from "./time-axis";
import { unseenRow, type UnseenRow, type UnseenSeries } from "./unseen-series";

/**
 * How many newest candles are rows after they were reduced, and before that. Each candle costs in
 * proportion to their mean, and each reduction in proportion to the history.
 */
export const FEWEST_ROWS = 1;
export const MOST_ROWS = 100;

export class LibraryRows {
  /** Times of the candles before the newest, without prices. */
  readonly past: UnseenSeries;
  /** The newest candles; prices have coordinates on it wherever the view is. */
  readonly newest: UnseenSeries;
  private rows: UnseenRow[] = [];

  /** `add` adds one of the two series to the chart. */
  constructor(add: () => UnseenSeries) {
    this.past = add();
    this.newest = add();
  }

  get isEmpty(): boolean {
    return this.rows.length === 0;
  }

  /**
   * Holds these candles instead of the former ones.
   *
   * The library goes through the whole axis with each part that is set, so the long one is set
   * once, and the newest only if they changed. While the axis has times, none of them that stay may
   * leave it in between, or the view would move.
   */
  replace(candles: readonly Candle[]): void {
    const keepsRows = !this.isEmpty && endWith(candles, this.rows);
    const wasEmpty = this.isEmpty;
    if (!keepsRows) this.rows = candles.slice(-FEWEST_ROWS).map(rowOf);
    if (wasEmpty) this.newest.setData([...this.rows]);
    this.past.setData(candles.slice(0, candles.length - this.rows.length).map(pastOf));
    if (!wasEmpty && !keepsRows) this.newest.setData([...this.rows]);
  }

  /** Changes the last candle, or adds one behind it. */
  update(candle: Candle): void {
    const row = rowOf(candle);
    if (this.rows.at(-1)?.time === row.time) this.rows[this.rows.length - 1] = row;
    else this.rows.push(row);
    this.newest.update(row);
    if (this.rows.length > MOST_ROWS) this.reduce();
  }

  private reduce(): void {
    const moved = this.rows.slice(0, -FEWEST_ROWS);
    this.rows = this.rows.slice(-FEWEST_ROWS);
    for (const { time } of moved) this.past.update({ time });
    this.newest.setData([...this.rows]);
  }
}

function rowOf({ candle_time, close }: Candle): UnseenRow {
  return unseenRow(candle_time, close);
}

function pastOf({ candle_time }: Candle): { time: UTCTimestamp } {
  return { time: axisTime(candle_time) };
}

/** Whether the last candles have these rows. */
function endWith(candles: readonly Candle[], rows: readonly UnseenRow[]): boolean {
  const first = candles.length - rows.length;
  const isOf = ({ time, price }: UnseenRow, { candle_time, close }: Candle): boolean =>
    time === axisTime(candle_time) && price === close;
  return first >= 0 && rows.every((row, index) => isOf(row, candles[first + index] as Candle));
}
