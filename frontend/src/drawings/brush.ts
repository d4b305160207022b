/** Puts the parts of a scene on a canvas; those outside are skipped. */

import { firstNot } from "trade-canvas-client/bisect";
import type { Ink } from "./ink";
import type { Mark } from "./marks";
import { xOf, type Scales } from "./scales";
import type { Place, SceneBox, SceneLabel, SceneLine } from "./scene";

/** The canvas, pixels. */
export interface Size {
  readonly width: number;
  readonly height: number;
}

/** What texts are written with. */
export interface Lettering {
  readonly font: string;
  readonly background: string;
}

const HALO = "rgba(255, 255, 255, 0.28)";
const HALO_WIDTH = 2;
const DASH = [6, 6];
const TEXT_PX = 11;
const LABEL_DISTANCE = 9;
const NAME_HEIGHT = 13;
const NAME_RIGHT = 6;

export class Brush {
  private readonly context: CanvasRenderingContext2D;
  private readonly scales: Scales;
  private readonly width: number;
  private readonly height: number;
  private readonly ink: Ink;
  private readonly lettering: Lettering;

  constructor(
    context: CanvasRenderingContext2D,
    scales: Scales,
    size: Size,
    ink: Ink,
    lettering: Lettering,
  ) {
    this.context = context;
    this.scales = scales;
    this.width = size.width;
    this.height = size.height;
    this.ink = ink;
    this.lettering = lettering;
    context.lineJoin = "round";
  }

  box(box: SceneBox): void {
    const { context } = this;
    const [left, right] = [this.x(box.from), this.x(box.to)];
    const [upper, lower] = [this.scales.y(box.top), this.scales.y(box.bottom)];
    if (right < 0 || left > this.width || upper === null || lower === null) return;
    if (this.isOutside(Math.min(upper, lower), Math.max(upper, lower), box.width)) return;
    context.globalAlpha = box.fillOpacity;
    context.fillStyle = this.ink(box.fill);
    context.fillRect(left, upper, right - left, lower - upper);
    context.globalAlpha = box.opacity;
    context.beginPath();
    if (box.outline === "all") context.rect(left, upper, right - left, lower - upper);
    else {
      for (const x of [left, right]) {
        context.moveTo(x, upper);
        context.lineTo(x, lower);
      }
    }
    this.stroke(box.color, box.width, box.dashed);
    context.globalAlpha = 1;
  }

  line(line: SceneLine): void {
    if (!this.follow(line)) return;
    this.context.globalAlpha = line.opacity;
    if (line.halo) this.stroke(HALO, line.width + 2 * HALO_WIDTH, line.dashed);
    this.stroke(line.color, line.width, line.dashed);
    this.context.globalAlpha = 1;
  }

  mark({ marker, x, y, extent, withText }: Mark): void {
    const { context } = this;
    context.fillStyle = this.ink(marker.color);
    const half = extent / 2;
    context.beginPath();
    if (marker.shape === "circle") context.arc(x, y, half * 0.8, 0, 2 * Math.PI);
    else {
      const tip = marker.shape === "arrowUp" ? -half : half;
      context.moveTo(x, y + tip);
      context.lineTo(x + half, y);
      context.lineTo(x + half * 0.4, y);
      context.lineTo(x + half * 0.4, y - tip);
      context.lineTo(x - half * 0.4, y - tip);
      context.lineTo(x - half * 0.4, y);
      context.lineTo(x - half, y);
      context.closePath();
    }
    context.fill();
    if (!withText) return;
    this.letter("center");
    const away = half + TEXT_PX * 0.7;
    context.fillText(marker.text, x, marker.position === "aboveBar" ? y - away : y + away);
  }

  label({ index, price, text, place, color }: SceneLabel): void {
    const [x, y] = [this.x(index), this.scales.y(price)];
    if (y === null || x < -this.width || x > 2 * this.width) return;
    const away = { above: -LABEL_DISTANCE, center: 0, below: LABEL_DISTANCE }[place];
    this.letter("center");
    this.write(text, x, y + away, color);
  }

  /**
   * Names these lines at the axis, those nearest to `price` first; one that would cover another is
   * left out.
   */
  names(
    lines: readonly SceneLine[],
    price: number,
    format: (price: number) => string,
  ): string[] {
    if (lines.length === 0) return [];
    const distance = (line: SceneLine): number => Math.abs(priceOf(line) - price);
    const named = [...lines].sort((left, right) => distance(left) - distance(right));
    const [taken, texts]: [number[], string[]] = [[], []];
    this.letter("right");
    for (const line of named) {
      const lineY = this.scales.y(priceOf(line));
      if (lineY === null || lineY < NAME_HEIGHT || lineY > this.height) continue;
      const y = lineY - NAME_HEIGHT / 2;
      if (taken.some((other) => Math.abs(other - y) < NAME_HEIGHT)) continue;
      taken.push(y);
      const text = `${line.name} ${format(priceOf(line))}`;
      this.write(text, this.width - NAME_RIGHT, y, line.color);
      texts.push(text);
    }
    return texts;
  }

  /** The font is set for those who write: few paintings do. */
  private letter(align: CanvasTextAlign): void {
    const { context, lettering } = this;
    context.font = `${TEXT_PX}px ${lettering.font}`;
    context.textBaseline = "middle";
    context.textAlign = align;
  }

  private write(text: string, x: number, y: number, color: string): void {
    const { context } = this;
    context.setLineDash([]);
    context.lineWidth = 3;
    context.strokeStyle = this.lettering.background;
    context.strokeText(text, x, y);
    context.fillStyle = this.ink(color);
    context.fillText(text, x, y);
  }

  private stroke(color: string, width: number, dashed: boolean): void {
    this.context.setLineDash(dashed ? DASH : []);
    this.context.strokeStyle = this.ink(color);
    this.context.lineWidth = width;
    this.context.stroke();
  }

  /** Whether what is between two heights is above or below the canvas. */
  private isOutside(upper: number, lower: number, width: number): boolean {
    const margin = width + HALO_WIDTH;
    return lower < -margin || upper > this.height + margin;
  }

  /** Makes a line the path of the canvas; false when no part of it is visible. */
  private follow({ places, toAxis, width }: SceneLine): boolean {
    const [first, last] = [places[0], places.at(-1)];
    if (first === undefined || last === undefined) return false;
    const end = toAxis ? this.width : this.x(last.index);
    if (end < 0 || this.x(first.index) > this.width) return false;
    const { context } = this;
    context.beginPath();
    let y: number | null = null;
    let [upper, lower] = [Infinity, -Infinity];
    for (const place of visible(places, this.scales, this.width)) {
      y = this.scales.y(place.price);
      if (y === null) continue;
      context.lineTo(this.x(place.index), y);
      [upper, lower] = [Math.min(upper, y), Math.max(lower, y)];
    }
    if (this.isOutside(upper, lower, width)) return false;
    if (toAxis && y !== null && end > this.x(last.index)) context.lineTo(end, y);
    return true;
  }

  private x(index: number): number {
    return xOf(this.scales, index);
  }
}

function priceOf({ places }: SceneLine): number {
  return (places.at(-1) as Place).price;
}

/** The part of a line that may be seen, one place more on both sides; places ascend. */
function visible(places: readonly Place[], scales: Scales, width: number): readonly Place[] {
  if (places.length < 8) return places;
  const behind = (x: number): number => firstNot(places, (place) => xOf(scales, place.index) < x);
  return places.slice(Math.max(0, behind(0) - 1), behind(width) + 1);
}
