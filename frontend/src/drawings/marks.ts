/** Where marks stand: they shrink with the candles, and of many at one place the largest is shown. */

import { firstNot } from "trade-canvas-client/bisect";
import { xOf, type Scales } from "./scales";
import type { SceneMarker } from "./scene";

/** A mark in pixels. */
export interface Mark {
  readonly marker: SceneMarker;
  readonly x: number;
  readonly y: number;
  /** Its diameter. */
  readonly extent: number;
  readonly withText: boolean;
}

const LARGEST = 13;
const SMALLEST = 4;
const PER_CANDLE = 2;
/** Marks may overlap by the rest. */
const KEPT_APART = 0.75;
/** From the candle. */
const DISTANCE = 4;
const TEXT_SPACING = 4;

/** The marks between 0 and `width`; `markers` ascend by index. */
export function marksOn(markers: readonly SceneMarker[], scales: Scales, width: number): Mark[] {
  const { spacing } = scales;
  const full = Math.max(SMALLEST, Math.min(LARGEST, PER_CANDLE * spacing));
  const first = (-full - scales.origin) / spacing;
  const last = (width + full - scales.origin) / spacing;
  const kept = thinned(markers, Math.floor((full * KEPT_APART) / spacing));
  const before = (index: number): number => firstNot(kept, (marker) => marker.index < index);
  const shown = kept.slice(before(first), before(last));
  const heights = new Map<string, number>();
  return shown.flatMap((marker) => {
    const candleY = scales.y(marker.price);
    if (candleY === null) return [];
    const extent = Math.max(SMALLEST, full * Math.max(0.5, Math.min(1, marker.size)));
    // Those at one candle stand on each other.
    const place = `${marker.position}${marker.index}`;
    const height = heights.get(place) ?? DISTANCE;
    heights.set(place, height + extent + 2);
    const away = height + extent / 2;
    const y = marker.position === "aboveBar" ? candleY - away : candleY + away;
    const withText = marker.text !== "" && spacing >= TEXT_SPACING;
    return [{ marker, x: xOf(scales, marker.index), y, extent, withText }];
  });
}

/** By the candles apart; the same while the chart is moved, so that no mark comes and goes. */
const memory = new WeakMap<readonly SceneMarker[], Map<number, readonly SceneMarker[]>>();

/** Marks on one side that are so many candles apart: the largest and outermost of those closer. */
function thinned(markers: readonly SceneMarker[], candles: number): readonly SceneMarker[] {
  if (candles <= 1) return markers;
  const known = memory.get(markers) ?? new Map<number, readonly SceneMarker[]>();
  memory.set(markers, known);
  const made = known.get(candles) ?? thin(markers, candles);
  known.set(candles, made);
  return made;
}

function thin(markers: readonly SceneMarker[], candles: number): readonly SceneMarker[] {
  const kept: SceneMarker[] = [];
  const last = { aboveBar: -1, belowBar: -1 };
  for (const marker of markers) {
    const at = last[marker.position];
    const before = kept[at];
    if (before === undefined || marker.index - before.index >= candles) {
      last[marker.position] = kept.push(marker) - 1;
    } else if (isBefore(marker, before)) kept[at] = marker;
  }
  return kept.sort((left, right) => left.index - right.index);
}

function isBefore(marker: SceneMarker, held: SceneMarker): boolean {
  if (marker.size !== held.size) return marker.size > held.size;
  return marker.position === "aboveBar" ? marker.price > held.price : marker.price < held.price;
}
