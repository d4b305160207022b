/** What keys do to the chart and its drawings; the panels add what they do to them. */

import { isOn } from "../studies/factor-visibility";
import { volumeFeature } from "../studies/volume";
import type { ChartView } from "../chart/chart-cell";
import type { SettingsStore } from "../settings/settings";
import type { FeatureSwitches } from "../studies/feature-switches";
import type { KeyActions } from "./shortcuts";

type ChartActions = Pick<
  KeyActions,
  | "pan"
  | "zoom"
  | "zoomToNormal"
  | "toNewest"
  | "toOldest"
  | "toggleFactor"
  | "toggleVolume"
  | "toggleTheme"
>;

export function keyActions(
  view: ChartView,
  switches: FeatureSwitches,
  settings: SettingsStore,
): ChartActions {
  const toggle = (key: string | undefined): void => {
    if (key !== undefined) switches.choose({ key, on: !isOn(switches.visibility(), key) });
  };
  return {
    pan: (candles) => view.pan(candles),
    zoom: (factor) => view.zoom(factor),
    zoomToNormal: () => view.zoomToNormal(),
    toNewest: () => view.scrollToEnd(),
    toOldest: () => view.scrollToStart(),
    toggleFactor: (place) => toggle(switches.features[place]?.key),
    toggleVolume: () => toggle(volumeFeature().key),
    toggleTheme: () => {
      const isLight = document.documentElement.dataset["theme"] === "light";
      settings.update({ theme: isLight ? "dark" : "light" });
    },
  };
}
