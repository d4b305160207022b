/**
 * The rows of a series in two series of the library: a long one that rarely changes, and its end.
 *
 * The library goes through all rows of a series whenever one of them changes. New rows and new
 * values come at the end, so only that part is gone through, however long the history is.
 */

import { MismatchDirection, type CandlestickData, type ISeriesApi, type Time } from "lightweight-charts";

type Row = CandlestickData<Time>;

/**
 * Rows of the end after it was shortened, and before that. Each candle costs in proportion to their
 * mean, and each shortening in proportion to the history.
 */
export const SHORT_END = 40;
export const LONG_END = 240;

export class SplitSeries {
  /** Both are drawn alike; on the end, prices have coordinates wherever the view is. */
  readonly body: ISeriesApi<"Candlestick">;
  readonly end: ISeriesApi<"Candlestick">;
  private rows: Row[] = [];

  /** `add` adds one of the two series to the chart. */
  constructor(add: () => ISeriesApi<"Candlestick">) {
    this.body = add();
    this.end = add();
  }

  get isEmpty(): boolean {
    return this.rows.length === 0;
  }

  /** Times of all rows, read back from the library, UTC seconds. */
  times(): number[] {
    return [...this.body.data(), ...this.end.data()].map((row) => row.time as number);
  }

  /** Time of the first row at or after a position, UTC seconds; null behind the last one. */
  timeFrom(index: number): number | null {
    const { NearestRight } = MismatchDirection;
    const row = this.body.dataByIndex(index, NearestRight) ?? this.end.dataByIndex(index, NearestRight);
    return row === null ? null : (row.time as number);
  }

  /**
   * Shows these rows instead of the former ones.
   *
   * The library goes through the whole axis with each part that is set, so the long one is set
   * once, and the end only if it changed. While the axis has rows, none of them that stay may leave
   * it in between, or the view would move.
   */
  replace(rows: readonly Row[]): void {
    const keepsEnd = !this.isEmpty && endWith(rows, this.rows);
    const wasEmpty = this.isEmpty;
    if (!keepsEnd) this.rows = rows.slice(-SHORT_END);
    if (wasEmpty) this.end.setData([...this.rows]);
    this.body.setData(rows.slice(0, rows.length - this.rows.length));
    if (!wasEmpty && !keepsEnd) this.end.setData([...this.rows]);
  }

  /** Changes the last row, or adds one behind it. */
  update(row: Row): void {
    if (this.rows.at(-1)?.time === row.time) this.rows[this.rows.length - 1] = row;
    else this.rows.push(row);
    this.end.update(row);
    if (this.rows.length > LONG_END) this.shorten();
  }

  /** Applies options to both series. */
  applyOptions(options: Parameters<ISeriesApi<"Candlestick">["applyOptions"]>[0]): void {
    this.body.applyOptions(options);
    this.end.applyOptions(options);
  }

  private shorten(): void {
    const moved = this.rows.slice(0, -SHORT_END);
    this.rows = this.rows.slice(-SHORT_END);
    for (const row of moved) this.body.update(row);
    this.end.setData([...this.rows]);
  }
}

/** Whether the last of `rows` are the same as `end`, value by value. */
function endWith(rows: readonly Row[], end: readonly Row[]): boolean {
  const first = rows.length - end.length;
  return first >= 0 && end.every((row, index) => isSame(row, rows[first + index] as Row));
}

function isSame(left: Row, right: Row): boolean {
  return (
    left.time === right.time &&
    left.open === right.open &&
    left.high === right.high &&
    left.low === right.low &&
    left.close === right.close
  );
}
