/** The drawings laid out on the loaded candles, by index and price: no pixels yet. */

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

export const EMPTY_SCENE: Scene = { markers: [], lines: [], boxes: [], labels: [] };

/** Ids by feature, ascending. */
export function idsByFeature(
  drawn: Iterable<{ readonly id: string; readonly feature: string }>,
): Record<string, string[]> {
  const ids: Record<string, string[]> = {};
  for (const { id, feature } of drawn) (ids[feature] ??= []).push(id);
  for (const list of Object.values(ids)) list.sort();
  return ids;
}
