/**
 * What a study is: something drawn from the candles of a series, or read from the server for it.
 *
 * Its settings are features that it declares to `FeatureSwitches`; the panel shows them.
 */

import type { IChartApiBase, Time } from "lightweight-charts";

import type { Candle } from "trade-canvas-client/candle";
import type { ChartChange } from "trade-canvas-client/chart-change";
import type { ChartTheme } from "../chart/theme";
import type { UnseenSeries } from "../chart/unseen-series";
import type { PushedMessage } from "trade-canvas-client/messages";
import type { SeriesState } from "trade-canvas-client/series-state";

/** The chart that a study draws on. */
export interface StudyHost {
  readonly chart: IChartApiBase<Time>;
  /** The candles in the main pane; holds only the last of them. */
  readonly prices: UnseenSeries;
  readonly theme: ChartTheme;
}

/** A figure in the legend. */
export interface LegendEntry {
  readonly name: string;
  readonly text: string;
}

export interface Study {
  /** Begins to draw, in the main pane or in one of its own. */
  attach(host: StudyHost): void;
  /** The series changed; called once after `attach`, and with another series after a switch. */
  apply(state: SeriesState, change: ChartChange): void;
  /** The figures of a candle; empty while the study is switched off. */
  legend?(candle: Candle): readonly LegendEntry[];
  /** The first candles of the series are painted: what they did not need may be read now. */
  painted?(): void;
  /** The view stopped moving; its first candle has this time (UTC seconds). */
  viewed?(from: number): void;
  /** Data that the server derives from the candles may have been rewritten. */
  rewritten?(): void;
  /** The cursor of the drawings that it has from the server. */
  cursor?(): number;
  /** Shows what the next drawing in view is, or with -1 the one before; false if there is none. */
  stepDrawing?(by: 1 | -1): boolean;
  /** Ends that; returns whether it was on. */
  leaveDrawings?(): boolean;
  /** The server is about to send what this draws of a candle that just closed. */
  expectsChange?(): boolean;
  /** The server sent something beside candles. */
  pushed?(message: PushedMessage): void;
  /** The series is subscribed on an open connection, or that was lost. */
  connected?(isConnected: boolean): void;
  /** Colours changed. */
  restyle(theme: ChartTheme): void;
  /** Ends reads and removes everything from the chart. */
  detach(): void;
}
