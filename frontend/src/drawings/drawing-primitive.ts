/** Draws a scene on the chart's canvas: one primitive for everything that is drawn. */

import type { IPrimitivePaneView, PrimitivePaneViewZOrder } from "lightweight-charts";

import { Primitive, type Target } from "../chart/primitive";
import { Brush, type Lettering, type Size } from "./brush";
import { hitAt, type Hit } from "./hits";
import type { Ink } from "./ink";
import { marksOn, type Mark } from "./marks";
import { scalesOf, type Scales } from "./scales";
import { EMPTY_SCENE, type Scene, type SceneLine } from "./scene";
import { stopsOn, type Stop } from "./stops";

type Draw = (brush: Brush, size: Size, scales: Scales) => void;

/** What drawings look like in a theme. */
export interface Palette extends Lettering {
  readonly ink: Ink;
}

export class DrawingPrimitive extends Primitive {
  private shown: Scene = EMPTY_SCENE;
  private lines = layersOf([]);
  private price = 0;
  private palette: Palette;
  private marks: readonly Mark[] = [];
  private named: readonly string[] = [];
  private size: Size = { width: 0, height: 0 };
  private readonly painted: () => void;
  protected readonly views = [
    this.view("bottom", (brush) => {
      this.shown.boxes.forEach((box) => brush.box(box));
      this.lines.below.forEach((line) => brush.line(line));
    }),
    // Not at the top, which is on the canvas of the crosshair: it is painted only while there is one.
    this.view("normal", (brush, size, scales) => {
      this.lines.among.forEach((line) => brush.line(line));
      this.marks = marksOn(this.shown.markers, scales, size.width);
      this.marks.forEach((mark) => brush.mark(mark));
      this.lines.above.forEach((line) => brush.line(line));
      this.shown.labels.forEach((label) => brush.label(label));
      this.named = brush.names(this.lines.named, this.price, this.format);
      this.size = size;
      this.painted();
    }),
  ];

  /** A price as the axis shows it. */
  readonly format = (price: number): string =>
    this.attachment?.series.priceFormatter().format(price) ?? String(price);

  /** `painted` is called after each painting. */
  constructor(palette: Palette, painted: () => void) {
    super();
    this.palette = palette;
    this.painted = painted;
  }

  get scene(): Scene {
    return this.shown;
  }

  /** The marks as they were painted last: zoomed out, fewer than the scene has. */
  get paintedMarks(): readonly Mark[] {
    return this.marks;
  }

  /** The names at the axis as they were painted last. */
  get paintedNames(): readonly string[] {
    return this.named;
  }

  /** Shows a scene; `price` is the last one: the names nearest to it come first. */
  show(scene: Scene, price: number): void {
    if (scene.lines !== this.shown.lines) this.lines = layersOf(scene.lines);
    this.shown = scene;
    this.price = price;
    this.repaint();
  }

  /** Draws in other colours from now on. */
  restyle(palette: Palette): void {
    this.palette = palette;
    this.repaint();
  }

  /** The drawing at a point of the pane, in pixels. */
  hit(x: number, y: number): Hit | null {
    const scales = this.attachment === null ? null : scalesOf(this.attachment);
    return scales === null ? null : hitAt(this.shown, this.marks, scales, { x, y });
  }

  /** The drawings in view, as they were painted last. */
  stops(): readonly Stop[] {
    const scales = this.attachment === null ? null : scalesOf(this.attachment);
    return scales === null ? [] : stopsOn(this.shown, this.marks, scales, this.size);
  }

  private view(layer: PrimitivePaneViewZOrder, draw: Draw): IPrimitivePaneView {
    const renderer = { draw: (target: Target) => this.paint(target, draw) };
    return { zOrder: () => layer, renderer: () => renderer };
  }

  private paint(target: Target, draw: Draw): void {
    const { attachment, palette } = this;
    if (attachment === null) return;
    target.useMediaCoordinateSpace(({ context, mediaSize }) => {
      const scales = scalesOf(attachment);
      if (scales === null) return;
      context.save();
      const brush = new Brush(context, scales, mediaSize, palette.ink, palette);
      draw(brush, mediaSize, scales);
      context.restore();
    });
  }
}

interface Layers {
  /** Painted below the candles, among them, and above them. */
  readonly below: readonly SceneLine[];
  readonly among: readonly SceneLine[];
  readonly above: readonly SceneLine[];
  /** Those that have a name at the axis. */
  readonly named: readonly SceneLine[];
}

function layersOf(lines: readonly SceneLine[]): Layers {
  const layers = {
    below: [] as SceneLine[],
    among: [] as SceneLine[],
    above: [] as SceneLine[],
    named: [] as SceneLine[],
  };
  for (const line of lines) {
    layers[line.layer < 0 ? "below" : line.layer > 0 ? "above" : "among"].push(line);
    if (line.name !== "" && line.toAxis) layers.named.push(line);
  }
  return layers;
}
