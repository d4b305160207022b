/** A pane of the chart for what is painted on it: prices are pixels from its bottom. */

import type { SeriesAttachedParameter, Time } from "lightweight-charts";

import type { Primitive } from "../../src/chart/primitive";

export const [WIDTH, HEIGHT] = [80, 100];

export interface View {
  /** The candle at the left edge. */
  readonly from: number;
  /** Pixels from candle to candle. */
  readonly spacing: number;
  /** Pixels of the screen to one of the page. */
  readonly ratio?: number;
}

export interface Painted {
  readonly color: string;
  /** Left, top, width and height in pixels of the screen. */
  readonly box: readonly number[];
}

/** What a primitive paints in such a view. */
export function paint(primitive: Primitive, { from, spacing, ratio = 1 }: View): Painted[] {
  primitive.attached({
    chart: { timeScale: () => ({ logicalToCoordinate: (index: number) => (index - from) * spacing }) },
    series: { priceToCoordinate: (price: number) => HEIGHT - price },
  } as unknown as SeriesAttachedParameter<Time>);
  const painted: Painted[] = [];
  const context = {
    fillStyle: "",
    fillRect: (...box: number[]) => painted.push({ color: context.fillStyle, box }),
  };
  const scope = {
    context,
    mediaSize: { width: WIDTH, height: HEIGHT },
    horizontalPixelRatio: ratio,
    verticalPixelRatio: ratio,
  };
  const target = { useBitmapCoordinateSpace: (draw: (given: unknown) => void) => draw(scope) };
  for (const view of primitive.paneViews()) view.renderer()?.draw(target as never);
  return painted;
}
