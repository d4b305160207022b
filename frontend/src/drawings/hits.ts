/** Which drawing is under the pointer. */

import { firstNot } from "trade-canvas-client/bisect";
import type { Mark } from "./marks";
import { xOf, type Scales } from "./scales";
import type { Place, Scene, SceneBox, SceneLabel, SceneLine, SceneMarker } from "./scene";

export type Hit =
  | { readonly kind: "marker"; readonly item: SceneMarker }
  | { readonly kind: "label"; readonly item: SceneLabel }
  | { readonly kind: "line"; readonly item: SceneLine }
  | { readonly kind: "box"; readonly item: SceneBox };

interface Pointer {
  readonly x: number;
  readonly y: number;
}

const REACH = 5;
/** Pixels around the middle of a label that count as the label. */
export const LABEL_REACH = { x: 24, y: 9 };

/** The topmost drawing at a pointer: small ones first, then lines from above, then areas. */
export function hitAt(
  { lines, boxes, labels }: Scene,
  marks: readonly Mark[],
  scales: Scales,
  pointer: Pointer,
): Hit | null {
  const mark = marks.find(({ x, y, extent }) => {
    const reach = Math.max(REACH, extent / 2 + 1);
    return Math.abs(pointer.x - x) <= reach && Math.abs(pointer.y - y) <= reach;
  });
  if (mark !== undefined) return { kind: "marker", item: mark.marker };
  const label = labels.find((each) => isOnLabel(each, scales, pointer));
  if (label !== undefined) return { kind: "label", item: label };
  for (let at = lines.length - 1; at >= 0; at -= 1) {
    const line = lines[at] as SceneLine;
    if (isOnLine(line, scales, pointer)) return { kind: "line", item: line };
  }
  // The smallest area: others may lie around it.
  const around = boxes.filter((box) => isInBox(box, scales, pointer));
  around.sort((left, right) => left.to - left.from - (right.to - right.from));
  return around[0] === undefined ? null : { kind: "box", item: around[0] };
}

function isOnLabel({ index, price }: SceneLabel, scales: Scales, { x, y }: Pointer): boolean {
  const labelY = scales.y(price);
  if (labelY === null) return false;
  return (
    Math.abs(x - xOf(scales, index)) <= LABEL_REACH.x && Math.abs(y - labelY) <= 2 * LABEL_REACH.y
  );
}

function isOnLine({ places, width, toAxis }: SceneLine, scales: Scales, { x, y }: Pointer): boolean {
  const reach = Math.max(REACH, width / 2 + 2);
  const last = places.at(-1) as Place;
  if (toAxis && x >= xOf(scales, last.index)) {
    const lastY = scales.y(last.price);
    return lastY !== null && Math.abs(y - lastY) <= reach;
  }
  for (let at = segmentAt(places, scales, x - reach); at < places.length; at += 1) {
    const [from, to] = [places[at - 1] as Place, places[at] as Place];
    if (xOf(scales, from.index) > x + reach) return false;
    if (isNear(from, to, scales, { x, y }, reach)) return true;
  }
  return false;
}

/** The first segment, by the number of its end, that ends at `x` or later. */
function segmentAt(places: readonly Place[], scales: Scales, x: number): number {
  return firstNot(places, ({ index }) => xOf(scales, index) < x, 1);
}

function isNear(from: Place, to: Place, scales: Scales, at: Pointer, reach: number): boolean {
  const [fromY, toY] = [scales.y(from.price), scales.y(to.price)];
  if (fromY === null || toY === null) return false;
  const [left, right] = [xOf(scales, from.index), xOf(scales, to.index)];
  const [across, down] = [right - left, toY - fromY];
  const square = across * across + down * down;
  const along = square === 0 ? 0 : ((at.x - left) * across + (at.y - fromY) * down) / square;
  const share = Math.max(0, Math.min(1, along));
  return Math.hypot(at.x - left - share * across, at.y - fromY - share * down) <= reach;
}

function isInBox({ from, to, top, bottom }: SceneBox, scales: Scales, { x, y }: Pointer): boolean {
  const [upper, lower] = [scales.y(top), scales.y(bottom)];
  if (upper === null || lower === null) return false;
  return x >= xOf(scales, from) && x <= xOf(scales, to) && y >= upper && y <= lower;
}
