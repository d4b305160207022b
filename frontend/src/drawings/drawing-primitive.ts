/** Draws a scene on the chart's canvas: one primitive for all boxes and lines. */

import type {
  IPrimitivePaneView,
  ISeriesPrimitive,
  Logical,
  PrimitivePaneViewZOrder,
  SeriesAttachedParameter,
  Time,
} from "lightweight-charts";

import type { Ink } from "./ink";
import { EMPTY_SCENE, type Place, type Scene, type SceneLine, type SceneZone } from "./scene";

type Target = Parameters<NonNullable<ReturnType<IPrimitivePaneView["renderer"]>>["draw"]>[0];
type Draw = (pen: Pen, scene: Scene) => void;

const HALO = "rgba(255, 255, 255, 0.28)";
const HALO_WIDTH = 2;
const DASH = [6, 6];

export class DrawingPrimitive implements ISeriesPrimitive<Time> {
  private shown: Scene = EMPTY_SCENE;
  private attachment: SeriesAttachedParameter<Time> | null = null;
  private ink: Ink;
  private readonly views = [
    this.view("bottom", (pen, { zones }) => zones.forEach((zone) => pen.fill(zone))),
    this.view("normal", (pen, { lines }) => lines.forEach((line) => pen.stroke(line))),
    this.view("top", (pen, { anchors }) => anchors.forEach((line) => pen.highlight(line))),
  ];

  constructor(ink: Ink) {
    this.ink = ink;
  }

  get scene(): Scene {
    return this.shown;
  }

  show(scene: Scene): void {
    this.shown = scene;
    this.attachment?.requestUpdate();
  }

  /** Draws in other colours from now on. */
  restyle(ink: Ink): void {
    this.ink = ink;
    this.attachment?.requestUpdate();
  }

  attached(attachment: SeriesAttachedParameter<Time>): void {
    this.attachment = attachment;
  }

  detached(): void {
    this.attachment = null;
  }

  paneViews(): readonly IPrimitivePaneView[] {
    return this.views;
  }

  private view(layer: PrimitivePaneViewZOrder, draw: Draw): IPrimitivePaneView {
    const renderer = { draw: (target: Target) => this.paint(target, draw) };
    return { zOrder: () => layer, renderer: () => renderer };
  }

  private paint(target: Target, draw: Draw): void {
    const { attachment } = this;
    if (attachment === null) return;
    target.useMediaCoordinateSpace(({ context, mediaSize }) => {
      const scales = scalesOf(attachment);
      if (scales === null) return;
      context.save();
      draw(new Pen(context, scales, mediaSize.width, this.ink), this.shown);
      context.restore();
    });
  }
}

interface Scales {
  /** Pixels of the first loaded candle, and from one candle to the next. */
  readonly origin: number;
  readonly spacing: number;
  y(price: number): number | null;
}

/** Positions are linear on the time scale: the first two determine all. */
function scalesOf({ chart, series }: SeriesAttachedParameter<Time>): Scales | null {
  const time = chart.timeScale();
  const origin = time.logicalToCoordinate(0 as Logical);
  const next = time.logicalToCoordinate(1 as Logical);
  if (origin === null || next === null) return null;
  return { origin, spacing: next - origin, y: (price) => series.priceToCoordinate(price) };
}

/** Puts boxes and lines on a canvas; those outside are skipped. */
class Pen {
  private readonly context: CanvasRenderingContext2D;
  private readonly scales: Scales;
  private readonly width: number;
  private readonly ink: Ink;

  constructor(context: CanvasRenderingContext2D, scales: Scales, width: number, ink: Ink) {
    this.context = context;
    this.scales = scales;
    this.width = width;
    this.ink = ink;
    context.lineJoin = "round";
  }

  fill({ from, to, top, bottom, fill }: SceneZone): void {
    const [left, right] = [this.x(from), this.x(to)];
    const [upper, lower] = [this.scales.y(top), this.scales.y(bottom)];
    if (right < 0 || left > this.width || upper === null || lower === null) return;
    this.context.fillStyle = fill;
    this.context.fillRect(left, upper, right - left, lower - upper);
  }

  stroke(line: SceneLine): void {
    const path = this.path(line.places);
    if (path === null) return;
    this.context.setLineDash(line.dashed ? DASH : []);
    this.draw(path, line.color, line.width);
  }

  /** Draws a line with a light edge, so that it stands out from candles and pens. */
  highlight(line: SceneLine): void {
    const path = this.path(line.places);
    if (path === null) return;
    this.context.setLineDash(line.dashed ? DASH : []);
    this.draw(path, HALO, line.width + 2 * HALO_WIDTH);
    this.draw(path, line.color, line.width);
  }

  private draw(path: Path2D, color: string, width: number): void {
    this.context.strokeStyle = this.ink(color);
    this.context.lineWidth = width;
    this.context.stroke(path);
  }

  /** Null when no part of it is visible. */
  private path(places: readonly Place[]): Path2D | null {
    const [first, last] = [places[0], places.at(-1)];
    if (first === undefined || last === undefined) return null;
    if (this.x(last.index) < 0 || this.x(first.index) > this.width) return null;
    const path = new Path2D();
    for (const place of places) {
      const y = this.scales.y(place.price);
      if (y !== null) path.lineTo(this.x(place.index), y);
    }
    return path;
  }

  private x(index: number): number {
    return this.scales.origin + index * this.scales.spacing;
  }
}
