/** The drawings laid out on the loaded candles, by index and price: no pixels yet. */

import { lowerBound } from "../sync/candle-list";
import { isVisible, type Visibility } from "../studies/factor-visibility";
import type { Candle } from "../sync/candle";
import type { Drawing } from "./drawings";
import { isInk } from "./ink";
import type {
  BoxDefinition,
  DrawPoint,
  LabelDefinition,
  LineDefinition,
  MarkerDefinition,
  PolylineDefinition,
} from "./instruction";
import type { Look, Looks } from "./look";

/** A point: position among the loaded candles (may lie between two), and price. */
export interface Place {
  readonly index: number;
  readonly price: number;
}

interface SceneItem {
  readonly id: string;
  readonly feature: string;
  readonly color: string;
  /** What it is; empty where the instruction does not have it. */
  readonly title: string;
}

export interface SceneLine extends SceneItem {
  readonly places: readonly Place[];
  readonly width: number;
  readonly opacity: number;
  readonly dashed: boolean;
  readonly layer: number;
  readonly halo: boolean;
  /** It goes on up to the price axis. */
  readonly toAxis: boolean;
  /** Stands at the axis, before the price; empty: nothing does. */
  readonly name: string;
}

export interface SceneMarker extends SceneItem {
  readonly index: number;
  /** The high or low of its candle. */
  readonly price: number;
  readonly position: "aboveBar" | "belowBar";
  readonly shape: "circle" | "arrowUp" | "arrowDown";
  readonly text: string;
  readonly size: number;
}

/** A box of its own, or the area between two lines. */
export interface SceneBox extends SceneItem {
  readonly from: number;
  readonly to: number;
  readonly top: number;
  readonly bottom: number;
  readonly fill: string;
  readonly fillOpacity: number;
  /** `sides`: two lines are its upper and lower edge. */
  readonly outline: "all" | "sides";
  readonly width: number;
  readonly opacity: number;
  readonly dashed: boolean;
}

export interface SceneLabel extends SceneItem, Place {
  readonly text: string;
  readonly place: "above" | "center" | "below";
}

export interface Scene {
  /** Ascending by index. */
  readonly markers: readonly SceneMarker[];
  /** Lowest layer first. */
  readonly lines: readonly SceneLine[];
  readonly boxes: readonly SceneBox[];
  readonly labels: readonly SceneLabel[];
}

/** The candles on the chart. */
export interface Loaded {
  readonly candles: readonly Candle[];
  readonly forming: Candle | null;
  /** Seconds from one candle to the next. */
  readonly step: number;
}

export const EMPTY_SCENE: Scene = { markers: [], lines: [], boxes: [], labels: [] };

const WIDEST = 4;
const FILL_OPACITY = 0.12;

/** Lays out the visible drawings, clipped to the loaded candles where their look allows it. */
export function buildScene(
  drawings: readonly Drawing[],
  visibility: Visibility,
  loaded: Loaded,
  looks: Looks,
): Scene {
  const axis = new Axis(loaded);
  if (axis.last < 0) return EMPTY_SCENE;
  const scene = {
    markers: [] as SceneMarker[],
    lines: [] as SceneLine[],
    boxes: [] as SceneBox[],
    labels: [] as SceneLabel[],
  };
  for (const { id, definition } of drawings) {
    if (!isVisible(visibility, definition.feature)) continue;
    const look = looks.of(id, definition.feature);
    if (definition.type === "marker") scene.markers.push(...markerOf(id, definition, look, axis));
    else if (definition.type === "box") scene.boxes.push(...boxOf(id, definition, look, axis));
    else if (definition.type === "label") scene.labels.push(...labelOf(id, definition, look, axis));
    else scene.lines.push(...lineOf(id, definition, look, axis));
  }
  scene.boxes.unshift(...areasOf(scene.lines, looks));
  scene.markers.sort((left, right) => left.index - right.index);
  scene.lines.sort((left, right) => left.layer - right.layer);
  return scene;
}

/** Ids by feature, ascending. */
export function idsByFeature(
  drawn: Iterable<{ readonly id: string; readonly feature: string }>,
): Record<string, string[]> {
  const ids: Record<string, string[]> = {};
  for (const { id, feature } of drawn) (ids[feature] ??= []).push(id);
  for (const list of Object.values(ids)) list.sort();
  return ids;
}

/** Positions of times among the loaded candles. */
class Axis {
  readonly last: number;
  private readonly loaded: Loaded;
  private readonly first: number;
  private readonly end: number;

  constructor(loaded: Loaded) {
    const { candles, forming } = loaded;
    this.loaded = loaded;
    this.last = candles.length - (forming === null ? 1 : 0);
    this.first = this.at(0)?.candle_time ?? 0;
    this.end = this.at(this.last)?.candle_time ?? 0;
  }

  has(time: number): boolean {
    return time >= this.first && time <= this.end;
  }

  at(index: number): Candle | undefined {
    const { candles, forming } = this.loaded;
    return candles[index] ?? forming ?? candles.at(-1);
  }

  /** Times outside the loaded candles are extrapolated without holes. */
  indexOf(time: number): number {
    if (time < this.first) return (time - this.first) / this.loaded.step;
    if (time > this.end) return this.last + (time - this.end) / this.loaded.step;
    const index = lowerBound(this.loaded.candles, time);
    const at = this.at(index)?.candle_time ?? 0;
    if (at === time) return index;
    const before = this.at(index - 1)?.candle_time ?? 0;
    return index - 1 + (time - before) / (at - before);
  }
}

function markerOf(id: string, drawn: MarkerDefinition, look: Look, axis: Axis): SceneMarker[] {
  if (!axis.has(drawn.time)) return [];
  const index = axis.indexOf(drawn.time);
  const candle = axis.at(Math.round(index));
  if (candle === undefined) return [];
  const { feature, position, shape, text, size } = drawn;
  const price = position === "aboveBar" ? candle.high : candle.low;
  const color = look.color ?? drawn.color;
  return [{ id, feature, color, title: text, index, price, position, shape, text, size }];
}

function lineOf(
  id: string,
  drawn: PolylineDefinition | LineDefinition,
  look: Look,
  axis: Axis,
): SceneLine[] {
  const whole = placesOf(drawn, axis);
  const places = look.unclipped === true ? whole : cut(whole, axis.last);
  if (places.length < 2) return [];
  const extended = drawn.type === "polyline" && drawn.extendRight;
  return [
    {
      id,
      feature: drawn.feature,
      color: look.color ?? drawn.color,
      title: drawn.type === "line" ? drawn.title : "",
      places,
      width: look.width ?? Math.max(1, Math.min(WIDEST, drawn.lineWidth)),
      opacity: look.opacity ?? 1,
      dashed: drawn.dashed || look.dashed === true,
      layer: look.layer ?? 0,
      halo: look.halo === true,
      toAxis: look.toAxis === true && extended,
      name: look.name ?? "",
    },
  ];
}

function placesOf(drawn: PolylineDefinition | LineDefinition, axis: Axis): Place[] {
  const { points } = drawn;
  const places = points.map(({ time, value }) => ({ index: axis.indexOf(time), price: value }));
  const last = points.at(-1) as DrawPoint;
  if (drawn.type === "polyline" && drawn.extendRight && axis.indexOf(last.time) < axis.last) {
    places.push({ index: axis.last, price: last.value });
  }
  return places;
}

/** The part of a line between the first candle and the last. */
function cut(places: readonly Place[], last: number): readonly Place[] {
  const [first, end] = [places[0], places.at(-1)];
  if (first !== undefined && end !== undefined && first.index >= 0 && end.index <= last) {
    return places;
  }
  const kept: Place[] = [];
  places.slice(1).forEach((to, index) => {
    const from = places[index] as Place;
    if (to.index < 0 || from.index > last) return;
    if (kept.length === 0) kept.push(along(from, to, Math.max(0, from.index)));
    kept.push(along(from, to, Math.min(last, to.index)));
  });
  return kept;
}

function along(start: Place, end: Place, index: number): Place {
  const length = end.index - start.index;
  const share = length === 0 ? 0 : (index - start.index) / length;
  return { index, price: start.price + (end.price - start.price) * share };
}

function boxOf(id: string, drawn: BoxDefinition, look: Look, axis: Axis): SceneBox[] {
  const { feature, top, bottom, title, dashed } = drawn;
  const from = Math.max(0, axis.indexOf(drawn.start));
  const end = axis.indexOf(drawn.end);
  const to = Math.min(axis.last, drawn.extendRight ? Math.max(end, axis.last) : end);
  if (to < from) return [];
  const color = look.color ?? drawn.color;
  const fill = drawn.fill ?? color;
  const isPlain = drawn.fill !== null && !isInk(drawn.fill);
  return [
    {
      id,
      feature,
      color,
      title,
      from,
      to,
      top,
      bottom,
      fill,
      fillOpacity: look.fillOpacity ?? (isPlain ? 1 : FILL_OPACITY),
      outline: "all",
      width: look.width ?? Math.max(1, Math.min(WIDEST, drawn.lineWidth)),
      opacity: look.opacity ?? 1,
      dashed: dashed || look.dashed === true,
    },
  ];
}

function labelOf(id: string, drawn: LabelDefinition, look: Look, axis: Axis): SceneLabel[] {
  if (!axis.has(drawn.time)) return [];
  const { feature, title, text, place, value: price } = drawn;
  const color = look.color ?? drawn.color;
  return [{ id, feature, color, title, index: axis.indexOf(drawn.time), price, text, place }];
}

/** The areas between lines of one feature whose ids differ in their endings only. */
function areasOf(lines: readonly SceneLine[], looks: Looks): SceneBox[] {
  const byId = new Map(lines.map((line) => [line.id, line]));
  return lines.flatMap((upper) => {
    const { area, fillOpacity = FILL_OPACITY } = looks.of(upper.id, upper.feature);
    if (area === undefined || !upper.id.endsWith(`:${area[0]}`)) return [];
    const id = upper.id.slice(0, -area[0].length - 1);
    const lower = byId.get(`${id}:${area[1]}`);
    const [first, last] = [upper.places[0], upper.places.at(-1)];
    if (lower === undefined || first === undefined || last === undefined) return [];
    return [
      {
        id,
        feature: upper.feature,
        color: upper.color,
        title: upper.title,
        from: first.index,
        to: last.index,
        top: first.price,
        bottom: (lower.places[0] as Place).price,
        fill: upper.color,
        fillOpacity,
        outline: "sides" as const,
        width: upper.width,
        opacity: upper.opacity,
        dashed: upper.dashed,
      },
    ];
  });
}
