/** The chart's colours: read from the tokens of the style sheet, so that both have one source. */

import { INK_NAMES, type Inks } from "../drawings/ink";

export interface ChartTheme {
  readonly background: string;
  readonly text: string;
  readonly grid: string;
  readonly border: string;
  readonly crosshair: string;
  readonly crosshairLabel: string;
  readonly up: string;
  readonly down: string;
  readonly upVolume: string;
  readonly downVolume: string;
  readonly gap: string;
  readonly countdown: string;
  /** Shades of the inks that drawings name. */
  readonly inks: Inks;
  readonly font: string;
}

/** The theme of an element, from its custom properties. */
export function themeOf(element: Element): ChartTheme {
  const style = getComputedStyle(element);
  const token = (name: string): string => style.getPropertyValue(`--chart-${name}`).trim();
  return {
    background: token("background"),
    text: token("text"),
    grid: token("grid"),
    border: token("border"),
    crosshair: token("crosshair"),
    crosshairLabel: token("crosshair-label"),
    up: token("up"),
    down: token("down"),
    upVolume: token("up-volume"),
    downVolume: token("down-volume"),
    gap: token("gap"),
    countdown: token("countdown"),
    inks: Object.fromEntries(
      INK_NAMES.map((name) => [name, style.getPropertyValue(`--ink-${name}`).trim()]),
    ),
    font: style.fontFamily,
  };
}
