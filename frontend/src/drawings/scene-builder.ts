/** Lays out the drawings of a series again and again, as candles and instructions come. */

import { isVisible, type Visibility } from "../studies/factor-visibility";
import { Axis, type Loaded } from "./axis";
import type { Drawing } from "./drawings";
import { FILL_OPACITY, isUnchanged, layOut, type Laid } from "./layout";
import { NO_LOOKS, type Looks } from "./look";
import {
  EMPTY_SCENE,
  type Place,
  type Scene,
  type SceneBox,
  type SceneLabel,
  type SceneLine,
  type SceneMarker,
} from "./scene";

export class SceneBuilder {
  private axis = new Axis({ candles: [], forming: null, step: 0 });
  private looks: Looks = NO_LOOKS;
  /** By the id of the instruction. */
  private laid: ReadonlyMap<string, Laid> = new Map();
  private markers: readonly SceneMarker[] = [];

  /**
   * Lays out the visible drawings, clipped to the loaded candles where their look allows it. What
   * did not change since the last time, and stands where it stood, keeps its layout.
   */
  build(
    drawings: readonly Drawing[],
    visibility: Visibility,
    loaded: Loaded,
    looks: Looks,
  ): Scene {
    const axis = new Axis(loaded);
    const isSame = looks === this.looks && axis.continues(this.axis);
    const before: ReadonlyMap<string, Laid> = isSame ? this.laid : new Map();
    const laid = new Map<string, Laid>();
    const visible = new Map<string, boolean>();
    for (const { id, definition } of axis.last < 0 ? [] : drawings) {
      const { feature } = definition;
      const isShown = visible.get(feature) ?? isVisible(visibility, feature);
      visible.set(feature, isShown);
      if (!isShown) continue;
      const held = before.get(id);
      const stays = held !== undefined && isUnchanged(held, definition, axis);
      laid.set(id, stays ? held : layOut(id, definition, looks.of(id, feature), axis, held));
    }
    [this.axis, this.looks, this.laid] = [axis, looks, laid];
    return this.sceneOf(laid);
  }

  private sceneOf(laid: ReadonlyMap<string, Laid>): Scene {
    if (laid.size === 0) return EMPTY_SCENE;
    const markers: SceneMarker[] = [];
    const lines: SceneLine[] = [];
    const boxes: SceneBox[] = [];
    const labels: SceneLabel[] = [];
    for (const { definition, item } of laid.values()) {
      if (item === null) continue;
      if (definition.type === "marker") markers.push(item as SceneMarker);
      else if (definition.type === "box") boxes.push(item as SceneBox);
      else if (definition.type === "label") labels.push(item as SceneLabel);
      else lines.push(item as SceneLine);
    }
    markers.sort((left, right) => left.index - right.index);
    // The list stays the same while its marks do: which of them are painted is known by list.
    if (!isEqual(markers, this.markers)) this.markers = markers;
    lines.sort((left, right) => left.layer - right.layer);
    return { markers: this.markers, lines, boxes: [...areasOf(laid), ...boxes], labels };
  }
}

function isEqual<Item>(left: readonly Item[], right: readonly Item[]): boolean {
  return left.length === right.length && left.every((item, index) => item === right[index]);
}

/** The areas between lines of one feature whose ids differ in their endings only. */
function areasOf(laid: ReadonlyMap<string, Laid>): SceneBox[] {
  const areas: SceneBox[] = [];
  for (const [id, { look, item }] of laid) {
    const { area } = look;
    if (area === undefined || item === null || !("places" in item)) continue;
    if (!id.endsWith(`:${area[0]}`)) continue;
    const stem = id.slice(0, -area[0].length - 1);
    const lower = laid.get(`${stem}:${area[1]}`)?.item;
    if (lower && "places" in lower) areas.push(areaBetween(stem, item, lower, look.fillOpacity));
  }
  return areas;
}

function areaBetween(
  id: string,
  upper: SceneLine,
  lower: SceneLine,
  fillOpacity = FILL_OPACITY,
): SceneBox {
  const [first, last] = [upper.places[0] as Place, upper.places.at(-1) as Place];
  return {
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
    outline: "sides",
    width: upper.width,
    opacity: upper.opacity,
    dashed: upper.dashed,
  };
}
