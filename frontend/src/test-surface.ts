/** What browser tests and curious people may read: data attributes of the chart and `tradeCanvas`. */

import { strictlyAscending } from "./candle-list";
import { lastClosedTime, type SeriesState } from "./series-state";

export interface TradeCanvas {
  /** The state of the series on the page; null before one is chosen. */
  state(): SeriesState | null;
  /** Times of the closed candles, UTC seconds. */
  closedTimes(): number[];
}

declare global {
  interface Window {
    readonly tradeCanvas: TradeCanvas;
  }
}

export function exposeTradeCanvas(state: () => SeriesState | null): void {
  const tradeCanvas: TradeCanvas = {
    state,
    closedTimes: () => (state()?.candles ?? []).map((candle) => candle.candle_time),
  };
  Object.defineProperty(window, "tradeCanvas", { value: Object.freeze(tradeCanvas) });
}

/** Describes the state, and what the chart really holds, on the chart's root element. */
export function describeChart(root: HTMLElement, state: SeriesState, heldTimes: number[]): void {
  const facts: Record<string, string | number | null | undefined> = {
    seriesId: state.seriesId,
    candleCount: state.candles.length,
    firstTime: state.candles[0]?.candle_time,
    lastTime: lastClosedTime(state),
    formingTime: state.forming?.candle_time,
    status: state.status,
    gapCount: state.holes.length,
    strictlyAscending: String(strictlyAscending(heldTimes)),
    wsLastTime: state.lastWsTime,
  };
  for (const [name, value] of Object.entries(facts)) root.dataset[name] = String(value ?? "");
}
