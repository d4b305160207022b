/** The drawings on the chart, and the tooltip of the one under the pointer or reached by keys. */

import type {
  IChartApiBase,
  Logical,
  MouseEventParams,
  Time,
} from "lightweight-charts";

import type { UnseenSeries } from "../chart/unseen-series";
import { captionOf, type Caption } from "./caption";
import { DrawingPrimitive, type Palette } from "./drawing-primitive";
import { DrawingTip } from "./drawing-tip";
import { DrawingTour } from "./drawing-tour";
import type { Hit } from "./hits";
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
  private readonly series: UnseenSeries;
  private readonly chart: IChartApiBase<Time>;
  private readonly tip: DrawingTip;
  private readonly tour: DrawingTour;
  private looks: Looks = NO_LOOKS;
  /** The pointer is on the chart. */
  private hasPointer = false;

  constructor(chart: IChartApiBase<Time>, series: UnseenSeries, palette: Palette) {
    this.chart = chart;
    this.series = series;
    this.primitive = new DrawingPrimitive(palette, () => this.tour.follow());
    this.tip = new DrawingTip(chart.chartElement());
    this.tour = new DrawingTour(chart.chartElement(), this.tip, {
      stops: () => this.primitive.stops(),
      captionOf: ({ hit }) => this.captionOf(hit),
      timeText: (index) => this.timeText(index),
    });
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
    this.tour.remove();
  }

  /** Shows what the next drawing in view is, or with -1 the one before; false if there is none. */
  stepDrawing(by: 1 | -1): boolean {
    return this.tour.step(by);
  }

  /** Ends that; returns whether it was on. */
  leaveDrawings(): boolean {
    return this.tour.leave();
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
  private readonly scrolled = (): void => {
    if (!this.tour.isOn) this.tip.hide();
  };

  private readonly point = ({ point, paneIndex, sourceEvent }: MouseEventParams<Time>): void => {
    // The chart reports a pointer that rests, too, when something moves under it, and the crosshair
    // that keys have moved.
    if (sourceEvent !== undefined) this.hasPointer = true;
    else if (point === undefined) this.hasPointer = false;
    if (sourceEvent === undefined && (this.tour.isOn || !this.hasPointer)) {
      if (!this.tour.isOn) this.tip.hide();
      return;
    }
    this.tour.leave();
    const isHere = point !== undefined && paneIndex === PRICES_PANE;
    const hit = isHere ? this.primitive.hit(point.x, point.y) : null;
    if (hit === null || point === undefined) this.tip.hide();
    else this.tip.show(this.captionOf(hit), point.x, point.y);
  };

  private captionOf(hit: Hit): Caption {
    return captionOf(hit, this.looks.words(hit.item.feature), this.primitive.format);
  }

  private timeText(index: number): string {
    const scale = this.chart.timeScale();
    const x = scale.logicalToCoordinate(Math.max(0, Math.round(index)) as Logical);
    const time = x === null ? null : scale.coordinateToTime(x);
    return time === null ? "" : (this.chart.options().localization.timeFormatter?.(time) ?? "");
  }
}

/** Ids of a scene's drawings by feature; an area stands for its two lines. */
export function drawnIds({ markers, lines, boxes, labels }: Scene): Record<string, string[]> {
  const own = boxes.filter(({ outline }) => outline === "all");
  return idsByFeature([...markers, ...lines, ...own, ...labels]);
}
