/** What browser tests and developers may read: data attributes of the chart, and `tradeCanvas`. */

import { lastClosedTime, type SeriesState } from "trade-canvas-client/series-state";
import type { OlderStep } from "../drawings/older-drawings";
import type { HeldScene } from "../drawings/overlay-layer";
import type { OverlayStep } from "../drawings/overlay-session";
import type { Scene } from "../drawings/scene";

export interface TradeCanvas {
  /** The state of the series on the page; null before one is chosen. */
  state(): SeriesState | null;
  /** Times of the closed candles, UTC seconds. */
  closedTimes(): number[];
  /** Times of the candles on the chart, the open one included, UTC seconds. */
  heldTimes(): number[];
  /** The last price as its label on the axis shows it; null without one. */
  lastPrice(): string | null;
  /** Ids of the drawings on the chart now, by feature. */
  drawings(): Record<string, string[]>;
  /** The drawings on the chart now; an index is a position among its candles. */
  scene(): HeldScene;
}

/** Reads back what is on the chart. */
export interface Held {
  times(): number[];
  lastPrice(): string | null;
  ids(): Record<string, string[]>;
  scene(): HeldScene;
}

/** The source of `tradeCanvas`. */
export interface Surface {
  state(): SeriesState | null;
  readonly held: Held;
}

declare global {
  interface Window {
    readonly tradeCanvas: TradeCanvas;
  }
}

export function exposeTradeCanvas({ state, held }: Surface): void {
  const tradeCanvas: TradeCanvas = {
    state,
    closedTimes: () => (state()?.candles ?? []).map((candle) => candle.candle_time),
    heldTimes: held.times,
    lastPrice: held.lastPrice,
    drawings: held.ids,
    scene: held.scene,
  };
  Object.defineProperty(window, "tradeCanvas", { value: Object.freeze(tradeCanvas) });
}

/** Describes a chart without a series on its root element. */
export function describeNothing(root: HTMLElement): void {
  write(root, { status: "empty" });
}

/** Describes the state on the chart's root element. */
export function describeChart(root: HTMLElement, state: SeriesState): void {
  write(root, {
    seriesId: state.seriesId,
    candleCount: state.candles.length,
    firstTime: state.candles[0]?.candle_time,
    lastTime: lastClosedTime(state),
    formingTime: state.forming?.candle_time,
    status: state.status,
    gapCount: state.holes.length,
    wsLastTime: state.lastWsTime,
  });
}

export interface Drawn {
  readonly step: OverlayStep;
  readonly older: OlderStep;
  readonly scene: Scene;
}

/** Describes the drawings, and how many are on the chart, on the chart's root element. */
export function describeDrawings(root: HTMLElement, { step, older, scene }: Drawn): void {
  const { markers, lines, boxes, labels } = scene;
  write(root, {
    overlayStatus: step.status,
    overlayCursor: step.drawings.cursor,
    overlayTime: step.drawings.toTime,
    olderStatus: older.status,
    markerCount: markers.length,
    polylineCount: lines.length,
    boxCount: boxes.length,
    labelCount: labels.length,
  });
}

type Fact = string | number | null | undefined;

/** Looking at what an element has takes longer than looking here. */
const written = new WeakMap<HTMLElement, Map<string, Fact>>();

function write(root: HTMLElement, facts: Readonly<Record<string, Fact>>): void {
  const held = written.get(root) ?? new Map<string, Fact>();
  written.set(root, held);
  for (const name in facts) {
    const value = facts[name];
    if (held.has(name) && held.get(name) === value) continue;
    held.set(name, value);
    root.dataset[name] = String(value ?? "");
  }
}
