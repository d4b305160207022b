/** Pixels of a scene on the chart. */

import type { Logical, SeriesAttachedParameter, Time } from "lightweight-charts";

export interface Scales {
  /** Pixels of the first loaded candle, and from one candle to the next. */
  readonly origin: number;
  readonly spacing: number;
  y(price: number): number | null;
}

/** Positions are linear on the time scale: the first two determine all. */
export function scalesOf({ chart, series }: SeriesAttachedParameter<Time>): Scales | null {
  const time = chart.timeScale();
  const origin = time.logicalToCoordinate(0 as Logical);
  const next = time.logicalToCoordinate(1 as Logical);
  if (origin === null || next === null) return null;
  return { origin, spacing: next - origin, y: (price) => series.priceToCoordinate(price) };
}

export function xOf({ origin, spacing }: Scales, index: number): number {
  return origin + index * spacing;
}

/** The first and the last position in a pane of this width, pixels; `count` are there. */
export function positionsInView({ origin, spacing }: Scales, width: number, count: number): [number, number] {
  const first = Math.max(0, Math.floor(-origin / spacing));
  return [first, Math.min(count - 1, Math.ceil((width - origin) / spacing))];
}
