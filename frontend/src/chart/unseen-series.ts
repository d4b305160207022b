/** Series of the library with times and a scale, but nothing to draw: the page paints by itself. */

import {
  customSeriesDefaultOptions,
  type CustomData,
  type CustomSeriesOptions,
  type CustomSeriesWhitespaceData,
  type IChartApiBase,
  type DeepPartial,
  type ICustomSeriesPaneView,
  type ISeriesApi,
  type PriceFormat,
  type Time,
} from "lightweight-charts";

import { axisTime } from "./time-axis";

/** What the library holds of a candle: its time, and a price to which the scale reaches. */
export interface UnseenRow extends CustomData<Time> {
  readonly price: number;
}

export type UnseenSeries = ISeriesApi<"Custom", Time, UnseenRow | CustomSeriesWhitespaceData<Time>>;

const NOTHING: ICustomSeriesPaneView<Time, UnseenRow> = {
  renderer: () => ({ draw: () => undefined }),
  update: () => undefined,
  priceValueBuilder: ({ price }) => [price],
  isWhitespace: (row): row is CustomSeriesWhitespaceData<Time> => !("price" in row),
  defaultOptions: (): CustomSeriesOptions => customSeriesDefaultOptions,
};

/** Adds one to a pane of the chart. */
export function addUnseenSeries(
  chart: IChartApiBase<Time>,
  priceFormat: DeepPartial<PriceFormat>,
  pane = 0,
): UnseenSeries {
  const options = { priceFormat, lastValueVisible: false, priceLineVisible: false };
  return chart.addCustomSeries(NOTHING, options, pane) as UnseenSeries;
}

/** A row of such a series; `time` in UTC seconds. */
export function unseenRow(time: number, price: number): UnseenRow {
  return { time: axisTime(time), price };
}
