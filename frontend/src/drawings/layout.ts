/** One drawing laid out on the loaded candles. */

import type { Candle } from "trade-canvas-client/candle";
import type { Axis } from "./axis";
import { isInk } from "./ink";
import type {
  BoxDefinition,
  Definition,
  DrawPoint,
  LabelDefinition,
  LineDefinition,
  MarkerDefinition,
  PolylineDefinition,
} from "trade-canvas-client/instruction";
import type { Look } from "./look";
import type { Place, SceneBox, SceneLabel, SceneLine, SceneMarker } from "./scene";

/** An instruction with what is drawn of it: nothing where it is not on the loaded candles. */
export type Laid =
  | LaidAs<MarkerDefinition, SceneMarker>
  | LaidAs<BoxDefinition, SceneBox>
  | LaidAs<LabelDefinition, SceneLabel>
  | LaidLine;

interface LaidAs<Drawn, Item> {
  readonly definition: Drawn;
  readonly look: Look;
  readonly item: Item | null;
  /** Candles to come leave it as it is. */
  readonly isSettled: boolean;
}

interface LaidLine extends LaidAs<PolylineDefinition | LineDefinition, SceneLine> {
  /** Its points; kept while only candles are added, if all of them are settled. */
  readonly points: readonly Place[] | null;
}

const WIDEST = 4;
export const FILL_OPACITY = 0.12;

/** Lays out an instruction; `before` is how it was laid out on fewer of the same candles. */
export function layOut(
  id: string,
  definition: Definition,
  look: Look,
  axis: Axis,
  before: Laid | undefined,
): Laid {
  switch (definition.type) {
    case "marker": {
      const isSettled = axis.isSettled(definition.time);
      return { definition, look, item: markerOf(id, definition, look, axis), isSettled };
    }
    case "label": {
      const isSettled = axis.isSettled(definition.time);
      return { definition, look, item: labelOf(id, definition, look, axis), isSettled };
    }
    case "box": {
      const isSettled = !definition.extendRight && axis.isSettled(definition.end);
      return { definition, look, item: boxOf(id, definition, look, axis), isSettled };
    }
    default: {
      const isKept = before?.definition === definition && "points" in before;
      const points = (isKept ? before.points : null) ?? pointsOf(definition, axis);
      const areSettled = axis.isSettled(definition.points.at(-1)?.time ?? Infinity);
      const item = lineOf(id, definition, points, look, axis);
      const isSettled = areSettled && !extendsRight(definition);
      return { definition, look, item, isSettled, points: areSettled ? points : null };
    }
  }
}

/** Whether an instruction laid out on fewer of the same candles is still as it was. */
export function isUnchanged(laid: Laid, definition: Definition, axis: Axis): boolean {
  if (laid.definition !== definition || !laid.isSettled) return false;
  if (laid.definition.type !== "marker" || laid.item === null) return true;
  const { index, price } = laid.item as SceneMarker;
  const candle = axis.at(Math.round(index));
  // The candle that it stands on may have been revised.
  return candle !== undefined && priceAt(laid.definition, candle) === price;
}

function priceAt({ position }: MarkerDefinition, { high, low }: Candle): number {
  return position === "aboveBar" ? high : low;
}

function markerOf(
  id: string,
  drawn: MarkerDefinition,
  look: Look,
  axis: Axis,
): SceneMarker | null {
  if (!axis.has(drawn.time)) return null;
  const index = axis.indexOf(drawn.time);
  const candle = axis.at(Math.round(index));
  if (candle === undefined) return null;
  const { feature, position, shape, text, size } = drawn;
  const price = priceAt(drawn, candle);
  const color = look.color ?? drawn.color;
  return { id, feature, color, title: text, index, price, position, shape, text, size };
}

function lineOf(
  id: string,
  drawn: PolylineDefinition | LineDefinition,
  points: readonly Place[],
  look: Look,
  axis: Axis,
): SceneLine | null {
  const whole = extendsRight(drawn) ? extended(points, axis.last) : points;
  const places = look.unclipped === true ? whole : cut(whole, axis.last);
  if (places.length < 2) return null;
  return {
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
    toAxis: look.toAxis === true && extendsRight(drawn),
    name: look.name ?? "",
  };
}

function extendsRight(drawn: PolylineDefinition | LineDefinition): boolean {
  return drawn.type === "polyline" && drawn.extendRight;
}

function pointsOf({ points }: { readonly points: readonly DrawPoint[] }, axis: Axis): Place[] {
  return points.map(({ time, value }) => ({ index: axis.indexOf(time), price: value }));
}

/** A line that goes on horizontally to the newest candle. */
function extended(points: readonly Place[], last: number): readonly Place[] {
  const end = points.at(-1);
  if (end === undefined || end.index >= last) return points;
  return [...points, { index: last, price: end.price }];
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

function boxOf(id: string, drawn: BoxDefinition, look: Look, axis: Axis): SceneBox | null {
  const { feature, top, bottom, title, dashed } = drawn;
  const from = Math.max(0, axis.indexOf(drawn.start));
  const end = axis.indexOf(drawn.end);
  const to = Math.min(axis.last, drawn.extendRight ? Math.max(end, axis.last) : end);
  if (to < from) return null;
  const color = look.color ?? drawn.color;
  const fill = drawn.fill ?? color;
  const isPlain = drawn.fill !== null && !isInk(drawn.fill);
  return {
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
  };
}

function labelOf(
  id: string,
  drawn: LabelDefinition,
  look: Look,
  axis: Axis,
): SceneLabel | null {
  if (!axis.has(drawn.time)) return null;
  const { feature, title, text, place, value: price } = drawn;
  const color = look.color ?? drawn.color;
  return { id, feature, color, title, index: axis.indexOf(drawn.time), price, text, place };
}
