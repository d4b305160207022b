/**
 * Lays out the drawings of a series again and again, as candles and instructions come. Most candles
 * change no drawing and move few: those that reach to the newest one.
 */

import { isVisible, type Visibility } from "../studies/factor-visibility";
import { Axis, type Loaded } from "./axis";
import type { Definition } from "trade-canvas-client/instruction";
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

type Kind = "marker" | "box" | "label" | "line";

const KINDS: readonly Kind[] = ["marker", "box", "label", "line"];

export class SceneBuilder {
  private axis = new Axis({ candles: [], forming: null, step: 0 });
  private looks: Looks = NO_LOOKS;
  private drawings: readonly Drawing[] = [];
  private visibility: Visibility = new Map();
  /** By the id of the instruction. */
  private laid = new Map<string, Laid>();
  private scene: Scene = EMPTY_SCENE;

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
    const isSame = looks === this.looks && axis.continues(this.axis) && axis.last >= 0;
    const staysListed = drawings === this.drawings && visibility === this.visibility;
    [this.axis, this.looks, this.drawings, this.visibility] = [axis, looks, drawings, visibility];
    const changed = isSame && staysListed ? this.layOutAgain() : this.layOutAll(isSame);
    this.scene = this.sceneWith(changed);
    return this.scene;
  }

  /** Lays out what the newest candles move; returns which kinds of drawings that were. */
  private layOutAgain(): ReadonlySet<Kind> {
    const { axis, looks, laid } = this;
    const changed = new Set<Kind>();
    for (const [id, held] of laid) {
      const { definition } = held;
      if (isUnchanged(held, definition, axis)) continue;
      laid.set(id, layOut(id, definition, looks.of(id, definition.feature), axis, held));
      changed.add(kindOf(definition));
    }
    return changed;
  }

  /** Lays out a list anew; `isSame` if what was laid out before may be kept. */
  private layOutAll(isSame: boolean): ReadonlySet<Kind> {
    const { axis, looks, visibility } = this;
    const before: ReadonlyMap<string, Laid> = isSame ? this.laid : new Map();
    const laid = new Map<string, Laid>();
    const visible = new Map<string, boolean>();
    for (const { id, definition } of axis.last < 0 ? [] : this.drawings) {
      const { feature } = definition;
      const isShown = visible.get(feature) ?? isVisible(visibility, feature);
      visible.set(feature, isShown);
      if (!isShown) continue;
      const held = before.get(id);
      const stays = held !== undefined && isUnchanged(held, definition, axis);
      laid.set(id, stays ? held : layOut(id, definition, looks.of(id, feature), axis, held));
    }
    this.laid = laid;
    return new Set(KINDS);
  }

  /** The scene with other drawings of these kinds. */
  private sceneWith(changed: ReadonlySet<Kind>): Scene {
    const { laid, scene } = this;
    if (laid.size === 0) return EMPTY_SCENE;
    if (changed.size === 0) return scene;
    let { markers, lines, boxes, labels } = scene;
    if (changed.has("marker")) {
      const found = itemsOf(laid, "marker") as SceneMarker[];
      found.sort((left, right) => left.index - right.index);
      // The list stays the same while its marks do: which of them are painted is known by list.
      if (!isEqual(found, markers)) markers = found;
    }
    if (changed.has("line")) {
      const found = itemsOf(laid, "line") as SceneLine[];
      lines = found.sort((left, right) => left.layer - right.layer);
    }
    if (changed.has("box") || changed.has("line")) {
      boxes = [...areasOf(laid), ...(itemsOf(laid, "box") as SceneBox[])];
    }
    if (changed.has("label")) labels = itemsOf(laid, "label") as SceneLabel[];
    return { markers, lines, boxes, labels };
  }
}

function kindOf({ type }: Definition): Kind {
  return type === "polyline" ? "line" : type;
}

/** What is drawn of the instructions of a kind, in their order. */
function itemsOf(laid: ReadonlyMap<string, Laid>, kind: Kind): NonNullable<Laid["item"]>[] {
  const items: NonNullable<Laid["item"]>[] = [];
  for (const { definition, item } of laid.values()) {
    if (item !== null && kindOf(definition) === kind) items.push(item);
  }
  return items;
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
