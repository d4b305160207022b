/** Which factors and sub-features are shown. */

import type { Factor } from "./factor-catalog";

/** By key of a factor or sub-feature; missing keys count as on. */
export type Visibility = ReadonlyMap<string, boolean>;

export interface Choice {
  readonly key: string;
  readonly on: boolean;
}

/** Adds the catalog's defaults for new keys; earlier choices stay. */
export function withDefaults(visibility: Visibility, catalog: readonly Factor[]): Visibility {
  const features = catalog.flatMap((factor) => [factor, ...factor.subFeatures]);
  const defaults = features.map(({ key, defaultVisible }) => [key, defaultVisible] as const);
  return new Map([...defaults, ...visibility]);
}

/** Applies a choice; switching a sub-feature on also switches its factor on. */
export function switched(visibility: Visibility, { key, on }: Choice): Visibility {
  const next = new Map(visibility).set(key, on);
  if (on && isOff(visibility, factorOf(key))) next.set(factorOf(key), true);
  return next;
}

/** Whether a feature is drawn: its own switch and that of its factor are on. */
export function isVisible(visibility: Visibility, feature: string): boolean {
  return !isOff(visibility, feature) && !isOff(visibility, factorOf(feature));
}

export function isOn(visibility: Visibility, key: string): boolean {
  return !isOff(visibility, key);
}

/** The factor that a feature key begins with; a factor's key is its own. */
export function factorOf(feature: string): string {
  return feature.split(".", 1)[0] as string;
}

function isOff(visibility: Visibility, key: string): boolean {
  return visibility.get(key) === false;
}
