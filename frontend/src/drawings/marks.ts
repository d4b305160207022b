/** Where marks stand: they shrink with the candles, and of many at one place the largest is shown. */

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

const LARGEST = 12;
const SMALLEST = 4;
/** From the candle. */
const DISTANCE = 4;
const TEXT_SPACING = 4;

/** The marks between 0 and `width`; `markers` ascend by index. */
export function marksOn(markers: readonly SceneMarker[], scales: Scales, width: number): Mark[] {
  const { spacing } = scales;
  const full = Math.max(SMALLEST, Math.min(LARGEST, 1.6 * spacing));
  const first = (-full - scales.origin) / spacing;
  const last = (width + full - scales.origin) / spacing;
  const shown = markers.slice(lowerIndex(markers, first), lowerIndex(markers, last));
  const perPlace = Math.max(1, Math.round(full / spacing));
  const heights = new Map<string, number>();
  return merged(shown, perPlace).flatMap((marker) => {
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

/** Of the marks on one side of several candles that share a place, the largest and outermost. */
function merged(markers: readonly SceneMarker[], candles: number): readonly SceneMarker[] {
  if (candles === 1) return markers;
  const kept = new Map<string, SceneMarker>();
  for (const marker of markers) {
    const place = `${marker.position}${Math.floor(marker.index / candles)}`;
    const held = kept.get(place);
    if (held === undefined || isBefore(marker, held)) kept.set(place, marker);
  }
  return [...kept.values()];
}

function isBefore(marker: SceneMarker, held: SceneMarker): boolean {
  if (marker.size !== held.size) return marker.size > held.size;
  return marker.position === "aboveBar" ? marker.price > held.price : marker.price < held.price;
}

function lowerIndex(markers: readonly SceneMarker[], index: number): number {
  let [low, high] = [0, markers.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((markers[middle] as SceneMarker).index < index) low = middle + 1;
    else high = middle;
  }
  return low;
}
