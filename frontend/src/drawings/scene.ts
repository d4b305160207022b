/** The drawings laid out on the loaded candles, by index and price: no pixels yet. */

import { lowerBound } from "../sync/candle-list";
import { isVisible, type Visibility } from "../studies/factor-visibility";
import type { Candle } from "../sync/candle";
import type { Drawing } from "./drawings";
import type { DrawPoint, MarkerDefinition, PolylineDefinition } from "./instruction";

/** A point: position among the loaded candles (may lie between two), and price. */
export interface Place {
  readonly index: number;
  readonly price: number;
}

export interface SceneLine {
  readonly id: string;
  readonly feature: string;
  readonly places: readonly Place[];
  readonly color: string;
  readonly width: number;
  readonly dashed: boolean;
}

export interface SceneMarker {
  readonly id: string;
  readonly definition: MarkerDefinition;
}

/** A box between the two edges of a zhongshu. */
export interface SceneZone {
  readonly id: string;
  readonly from: number;
  readonly to: number;
  readonly top: number;
  readonly bottom: number;
  readonly fill: string;
}

export interface Scene {
  readonly markers: readonly SceneMarker[];
  readonly lines: readonly SceneLine[];
  readonly zones: readonly SceneZone[];
  /** Drawn above everything else, the current one last. */
  readonly anchors: readonly SceneLine[];
}

/** The candles on the chart. */
export interface Loaded {
  readonly candles: readonly Candle[];
  readonly forming: Candle | null;
  /** Seconds from one candle to the next. */
  readonly step: number;
}

export const EMPTY_SCENE: Scene = { markers: [], lines: [], zones: [], anchors: [] };

const ANCHOR_CURRENT = "anchor.current";
const ANCHOR_LOOKS: Readonly<Record<string, { readonly color: string; readonly width: number }>> = {
  [ANCHOR_CURRENT]: { color: "#f59e0b", width: 3 },
  "anchor.history": { color: "#3b82f6", width: 2.5 },
};
const ALIVE = "zhongshu.alive";
const FILLS: Readonly<Record<string, Readonly<Record<1 | -1, string>>>> = {
  [ALIVE]: { 1: "rgba(22, 163, 74, 0.2)", [-1]: "rgba(220, 38, 38, 0.18)" },
  "zhongshu.dead": { 1: "rgba(74, 222, 128, 0.12)", [-1]: "rgba(248, 113, 113, 0.1)" },
};

/** Lays out the visible drawings; all but anchors are clipped to the loaded candles. */
export function buildScene(
  drawings: readonly Drawing[],
  visibility: Visibility,
  loaded: Loaded,
): Scene {
  const axis = new Axis(loaded);
  if (axis.last < 0) return EMPTY_SCENE;
  const visible = drawings.filter(({ definition }) => isVisible(visibility, definition.feature));
  const lines = visible.flatMap((drawing) => lineOf(drawing, axis));
  return {
    markers: visible.flatMap((drawing) => markerOf(drawing, axis)).sort(byTime),
    lines: lines.filter((line) => !isAnchor(line.feature)),
    zones: zonesOf(visible, lines),
    anchors: lines.filter((line) => isAnchor(line.feature)).sort(currentLast),
  };
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
    this.first = this.timeAt(0);
    this.end = this.timeAt(this.last);
  }

  has(time: number): boolean {
    return time >= this.first && time <= this.end;
  }

  /** Times outside the loaded candles are extrapolated without holes. */
  indexOf(time: number): number {
    if (time < this.first) return (time - this.first) / this.loaded.step;
    if (time > this.end) return this.last + (time - this.end) / this.loaded.step;
    const index = lowerBound(this.loaded.candles, time);
    const at = this.timeAt(index);
    if (at === time) return index;
    const before = this.timeAt(index - 1);
    return index - 1 + (time - before) / (at - before);
  }

  private timeAt(index: number): number {
    const { candles, forming } = this.loaded;
    return (candles[index] ?? forming ?? candles.at(-1))?.candle_time ?? 0;
  }
}

function markerOf({ id, definition }: Drawing, axis: Axis): SceneMarker[] {
  if (definition.type !== "marker" || !axis.has(definition.time)) return [];
  return [{ id, definition }];
}

function byTime(left: SceneMarker, right: SceneMarker): number {
  return left.definition.time - right.definition.time;
}

function lineOf({ id, definition }: Drawing, axis: Axis): SceneLine[] {
  if (definition.type !== "polyline") return [];
  const { feature } = definition;
  const whole = placesOf(definition, axis);
  const places = isAnchor(feature) ? whole : cut(whole, axis.last);
  if (places.length < 2) return [];
  const look = ANCHOR_LOOKS[feature];
  return [
    {
      id,
      feature,
      places,
      color: look?.color ?? definition.color,
      width: Math.max(look?.width ?? 1, Math.min(4, definition.lineWidth)),
      dashed: definition.dashed || feature === ALIVE,
    },
  ];
}

function placesOf({ points, extendRight }: PolylineDefinition, axis: Axis): Place[] {
  const places = points.map(({ time, value }) => ({ index: axis.indexOf(time), price: value }));
  const last = points.at(-1) as DrawPoint;
  if (extendRight && axis.indexOf(last.time) < axis.last) {
    places.push({ index: axis.last, price: last.value });
  }
  return places;
}

/** The part of a line between the first candle and the last. */
function cut(places: readonly Place[], last: number): Place[] {
  const kept: Place[] = [];
  places.slice(1).forEach((end, index) => {
    const start = places[index] as Place;
    if (end.index < 0 || start.index > last) return;
    if (kept.length === 0) kept.push(along(start, end, Math.max(0, start.index)));
    kept.push(along(start, end, Math.min(last, end.index)));
  });
  return kept;
}

function along(start: Place, end: Place, index: number): Place {
  const length = end.index - start.index;
  const share = length === 0 ? 0 : (index - start.index) / length;
  return { index, price: start.price + (end.price - start.price) * share };
}

function zonesOf(visible: readonly Drawing[], lines: readonly SceneLine[]): SceneZone[] {
  const lineById = new Map(lines.map((line) => [line.id, line]));
  return visible.flatMap(({ id, definition }) => {
    if (definition.type !== "polyline" || !id.endsWith(":top")) return [];
    const stem = id.slice(0, -":top".length);
    const fill = FILLS[definition.feature]?.[definition.entryDirection ?? 1];
    const [top, bottom] = [lineById.get(id), lineById.get(`${stem}:bottom`)];
    return fill && top && bottom ? [zoneOf(stem, { top, bottom, fill })] : [];
  });
}

interface Edges {
  readonly top: SceneLine;
  readonly bottom: SceneLine;
  readonly fill: string;
}

function zoneOf(id: string, { top, bottom, fill }: Edges): SceneZone {
  const [first, last] = [top.places[0] as Place, top.places.at(-1) as Place];
  const below = (bottom.places[0] as Place).price;
  return { id, from: first.index, to: last.index, top: first.price, bottom: below, fill };
}

function isAnchor(feature: string): boolean {
  return feature.startsWith("anchor.");
}

function currentLast(left: SceneLine, right: SceneLine): number {
  return Number(left.feature === ANCHOR_CURRENT) - Number(right.feature === ANCHOR_CURRENT);
}
