/** The drawings on the chart, and the tooltip of the one under the pointer or the finger. */

import type { IChartApiBase, ISeriesApi, MouseEventParams, Time } from "lightweight-charts";

import { captionOf } from "./caption";
import { DrawingPrimitive, type Palette } from "./drawing-primitive";
import { DrawingTip } from "./drawing-tip";
import { NO_LOOKS, type Looks } from "./look";
import { EMPTY_SCENE, idsByFeature, type Scene } from "./scene";

/** The drawings on the chart, and what was painted of them last. */
export interface HeldScene extends Scene {
  /** Ids of the marks: zoomed out, of several at one place one is painted. */
  readonly paintedMarks: readonly string[];
  /** Names at the axis. */
  readonly names: readonly string[];
}

export const NOTHING_HELD: HeldScene = { ...EMPTY_SCENE, paintedMarks: [], names: [] };

const PRICES_PANE = 0;

export class OverlayLayer {
  private readonly primitive: DrawingPrimitive;
  private readonly series: ISeriesApi<"Candlestick">;
  private readonly chart: IChartApiBase<Time>;
  private readonly tip: DrawingTip;
  private looks: Looks = NO_LOOKS;

  constructor(chart: IChartApiBase<Time>, series: ISeriesApi<"Candlestick">, palette: Palette) {
    this.chart = chart;
    this.series = series;
    this.primitive = new DrawingPrimitive(palette);
    this.tip = new DrawingTip(chart.chartElement());
    series.attachPrimitive(this.primitive);
    chart.subscribeCrosshairMove(this.point);
    // A tap moves no crosshair.
    chart.subscribeClick(this.point);
    chart.timeScale().subscribeVisibleLogicalRangeChange(this.scrolled);
  }

  /** Shows a scene; `price` is the last one. */
  show(scene: Scene, looks: Looks, price: number): void {
    this.looks = looks;
    this.primitive.show(scene, price);
  }

  /** Draws in other colours from now on. */
  restyle(palette: Palette): void {
    this.primitive.restyle(palette);
  }

  /** Removes everything from the chart. */
  remove(): void {
    this.chart.unsubscribeCrosshairMove(this.point);
    this.chart.unsubscribeClick(this.point);
    this.chart.timeScale().unsubscribeVisibleLogicalRangeChange(this.scrolled);
    this.series.detachPrimitive(this.primitive);
    this.tip.remove();
  }

  /** Ids of the drawings on the chart by feature. */
  drawn(): Record<string, string[]> {
    return drawnIds(this.primitive.scene);
  }

  get scene(): Scene {
    return this.primitive.scene;
  }

  /** The drawings on the chart, as they were painted last. */
  held(): HeldScene {
    return {
      ...this.primitive.scene,
      paintedMarks: this.primitive.paintedMarks.map(({ marker }) => marker.id),
      names: this.primitive.paintedNames,
    };
  }

  /** Another drawing may be at the place of the tooltip. */
  private readonly scrolled = (): void => this.tip.hide();

  private readonly point = ({ point, paneIndex }: MouseEventParams<Time>): void => {
    const isHere = point !== undefined && paneIndex === PRICES_PANE;
    const hit = isHere ? this.primitive.hit(point.x, point.y) : null;
    if (hit === null || point === undefined) this.tip.hide();
    else {
      const words = this.looks.words(hit.item.feature);
      this.tip.show(captionOf(hit, words, this.primitive.format), point.x, point.y);
    }
  };
}

/** Ids of a scene's drawings by feature; an area stands for its two lines. */
export function drawnIds({ markers, lines, boxes, labels }: Scene): Record<string, string[]> {
  const own = boxes.filter(({ outline }) => outline === "all");
  return idsByFeature([...markers, ...lines, ...own, ...labels]);
}
