/** What browser tests and curious people may read: data attributes of the chart and `tradeCanvas`. */

import { strictlyAscending } from "./candle-list";
import { lastClosedTime, type SeriesState } from "./series-state";
import type { OverlayStep } from "./overlay-session";
import type { Scene } from "./scene";

export interface TradeCanvas {
  /** The state of the series on the page; null before one is chosen. */
  state(): SeriesState | null;
  /** Times of the closed candles, UTC seconds. */
  closedTimes(): number[];
  /** Ids of the drawings on the chart right now, by feature. */
  drawings(): Record<string, string[]>;
}

/** Where `tradeCanvas` reads. */
export interface Surface {
  state(): SeriesState | null;
  drawings(): Record<string, string[]>;
}

declare global {
  interface Window {
    readonly tradeCanvas: TradeCanvas;
  }
}

export function exposeTradeCanvas({ state, drawings }: Surface): void {
  const tradeCanvas: TradeCanvas = {
    state,
    closedTimes: () => (state()?.candles ?? []).map((candle) => candle.candle_time),
    drawings,
  };
  Object.defineProperty(window, "tradeCanvas", { value: Object.freeze(tradeCanvas) });
}

/** Describes the state, and what the chart really holds, on the chart's root element. */
export function describeChart(root: HTMLElement, state: SeriesState, heldTimes: number[]): void {
  write(root, {
    seriesId: state.seriesId,
    candleCount: state.candles.length,
    firstTime: state.candles[0]?.candle_time,
    lastTime: lastClosedTime(state),
    formingTime: state.forming?.candle_time,
    status: state.status,
    gapCount: state.holes.length,
    strictlyAscending: String(strictlyAscending(heldTimes)),
    wsLastTime: state.lastWsTime,
  });
}

/** Describes the drawings, and how many of them the chart holds, on the chart's root element. */
export function describeDrawings(root: HTMLElement, step: OverlayStep, scene: Scene): void {
  const { markers, lines, zones, anchors } = scene;
  write(root, {
    overlayStatus: step.status,
    overlayCursor: step.drawings.cursor,
    overlayTime: step.drawings.toTime,
    markerCount: markers.length,
    polylineCount: lines.length + anchors.length,
    zhongshuCount: zones.length,
    srCount: lines.filter((line) => line.feature.startsWith("sr.")).length,
    anchorCount: anchors.length,
  });
}

type Facts = Readonly<Record<string, string | number | null | undefined>>;

function write(root: HTMLElement, facts: Facts): void {
  for (const [name, value] of Object.entries(facts)) root.dataset[name] = String(value ?? "");
}
