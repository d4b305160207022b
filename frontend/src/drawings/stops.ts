/** The drawings in view, in the order of time: what a keyboard steps through. */

import { firstNot } from "trade-canvas-client/bisect";
import type { Size } from "./brush";
import { LABEL_REACH, type Hit } from "./hits";
import type { Mark } from "./marks";
import { xOf, type Scales } from "./scales";
import type { Place, Scene, SceneLine } from "./scene";

/** A rectangle of the pane, pixels. */
export interface Area {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

export interface Stop {
  readonly hit: Hit;
  /** The positions of the candles between which it stands. */
  readonly from: number;
  readonly to: number;
  /** Where it is seen, within the pane. */
  readonly area: Area;
}

/** A line with more places in view than these is a curve: it is seen at the last of them. */
const STROKE_PLACES = 3;

/** The drawings of which something is within the pane; an area stands for the lines at its edges. */
export function stopsOn(
  { lines, boxes, labels }: Scene,
  marks: readonly Mark[],
  scales: Scales,
  size: Size,
): Stop[] {
  const stops: (Stop | null)[] = marks.map(({ marker, x, y, extent }) => {
    const half = extent / 2;
    const area = { left: x - half, top: y - half, right: x + half, bottom: y + half };
    return stop({ kind: "marker", item: marker }, marker.index, marker.index, area, size);
  });
  for (const label of labels) {
    const [x, y] = [xOf(scales, label.index), scales.y(label.price)];
    if (y === null) continue;
    const { x: across, y: down } = LABEL_REACH;
    const area = { left: x - across, top: y - down, right: x + across, bottom: y + down };
    stops.push(stop({ kind: "label", item: label }, label.index, label.index, area, size));
  }
  for (const box of boxes) {
    const [upper, lower] = [scales.y(box.top), scales.y(box.bottom)];
    if (upper === null || lower === null) continue;
    const [left, right] = [xOf(scales, box.from), xOf(scales, box.to)];
    const area = { left, top: Math.min(upper, lower), right, bottom: Math.max(upper, lower) };
    stops.push(stop({ kind: "box", item: box }, box.from, box.to, area, size));
  }
  const edged = new Set(boxes.filter(({ outline }) => outline === "sides").map(({ id }) => id));
  for (const line of lines) {
    const area = edged.has(stemOf(line)) ? null : areaOf(line, scales, size);
    const [first, last] = [line.places[0] as Place, line.places.at(-1) as Place];
    if (area !== null) {
      stops.push(stop({ kind: "line", item: line }, first.index, last.index, area, size));
    }
  }
  return stops.filter((each) => each !== null).sort(byTime);
}

/** What stays the same of a stop while the chart moves. */
export function keyOf({ hit: { kind, item } }: Stop): string {
  return `${kind} ${item.id}`;
}

function byTime(left: Stop, right: Stop): number {
  return left.from - right.from || left.to - right.to || left.area.top - right.area.top;
}

function stop(hit: Hit, from: number, to: number, area: Area, size: Size): Stop | null {
  const seen = {
    left: Math.max(0, area.left),
    top: Math.max(0, area.top),
    right: Math.min(size.width, area.right),
    bottom: Math.min(size.height, area.bottom),
  };
  return seen.left > seen.right || seen.top > seen.bottom ? null : { hit, from, to, area: seen };
}

function stemOf({ id }: SceneLine): string {
  return id.slice(0, Math.max(0, id.lastIndexOf(":")));
}

/** What the places in view take up, of a curve the last of them; null without one. */
function areaOf({ places, toAxis }: SceneLine, scales: Scales, size: Size): Area | null {
  const behind = (x: number): number => firstNot(places, ({ index }) => xOf(scales, index) < x);
  const near = places.slice(Math.max(0, behind(0) - 1), behind(size.width) + 1);
  const points = near.flatMap(({ index, price }) => {
    const y = scales.y(price);
    return y === null ? [] : [{ x: xOf(scales, index), y }];
  });
  const last = points.at(-1);
  if (last === undefined) return null;
  if (toAxis && last.x < size.width) points.push({ x: size.width, y: last.y });
  const inside = points.filter(({ x, y }) => x >= 0 && x <= size.width && y >= 0 && y <= size.height);
  const end = inside.at(-1);
  const taken = points.length > STROKE_PLACES && end !== undefined ? [end] : points;
  const [xs, ys] = [taken.map(({ x }) => x), taken.map(({ y }) => y)];
  return {
    left: Math.min(...xs),
    top: Math.min(...ys),
    right: Math.max(...xs),
    bottom: Math.max(...ys),
  };
}
