/** Puts theme and candle colours on the page, as the user and the system want them. */

import { setData } from "../dom";
import type { SettingsStore, Theme } from "./settings";

const COLORS = { light: "#f6f8fa", dark: "#0b0f14" } as const;

/** The part of `window.matchMedia("(prefers-color-scheme: light)")` that is used. */
export interface SystemTheme {
  readonly matches: boolean;
  addEventListener(type: "change", listener: () => void): void;
}

/** The theme to show. */
export function shownTheme(chosen: Theme, systemIsLight: boolean): "light" | "dark" {
  if (chosen !== "system") return chosen;
  return systemIsLight ? "light" : "dark";
}

export interface Appearance {
  /** Shows light colours for paper, or those of the settings again. */
  setPrinting(printing: boolean): void;
}

/** Shows the settings on `root` now and after each change; then calls `changed`. */
export function followAppearance(
  root: HTMLElement,
  settings: SettingsStore,
  system: SystemTheme,
  changed: () => void,
): Appearance {
  let printing = false;
  const show = (): void => {
    const theme = printing ? "light" : shownTheme(settings.value.theme, system.matches);
    setData(root, "theme", theme);
    setData(root, "rising", settings.value.redUp ? "red" : "green");
    const bar = root.querySelector('meta[name="theme-color"]');
    bar?.setAttribute("content", COLORS[theme]);
  };
  const refresh = (): void => {
    show();
    changed();
  };
  show();
  system.addEventListener("change", refresh);
  settings.subscribe((now, before) => {
    if (now.theme !== before.theme || now.redUp !== before.redUp) refresh();
  });
  return {
    setPrinting(isPrinting) {
      printing = isPrinting;
      refresh();
    },
  };
}
