/** The keys of the page. */

import { t } from "../i18n/words";
import type { ShortcutGroup } from "./keyboard";

/** What keys can do. */
export interface KeyActions {
  /** Moves the view by so many candles; back in time if negative. */
  pan(candles: number): void;
  /** Makes candles wider, or with a factor below 1 narrower. */
  zoom(factor: number): void;
  zoomToNormal(): void;
  toNewest(): void;
  toOldest(): void;
  /** Picks the timeframe at a place of the row, from 0. */
  timeframe(place: number): void;
  stepTimeframe(by: 1 | -1): void;
  search(): void;
  toggleMarkets(): void;
  /** Puts the crosshair on the next candle, or with -1 the one before. */
  stepCandle(by: 1 | -1): void;
  /** Shows what the next drawing in view is, or with -1 the one before. */
  stepDrawing(by: 1 | -1): void;
  /** Goes to the switches of the factors. */
  factors(): void;
  /** Switches the factor at a place of the row, from 0. */
  toggleFactor(place: number): void;
  toggleVolume(): void;
  toggleTheme(): void;
  settings(): void;
  toggleStatus(): void;
  map(): void;
  close(): void;
}

const DIGITS = ["1", "2", "3", "4", "5", "6", "7", "8", "9"];
const STEP = 10;
const LEAP = 50;
const ZOOM = 1.2;

/** Built on each call: texts depend on the language. */
export function shortcutsOf(actions: KeyActions): readonly ShortcutGroup[] {
  return [
    {
      title: t("Chart"),
      shortcuts: [
        {
          keys: ["ArrowLeft", "ArrowRight"],
          shown: ["←", "→"],
          text: t("Move the chart"),
          repeats: true,
          run: (key) => actions.pan(key === "ArrowLeft" ? -STEP : STEP),
        },
        {
          keys: ["Shift+ArrowLeft", "Shift+ArrowRight"],
          shown: ["Shift ←", "Shift →"],
          text: t("Move the chart further"),
          repeats: true,
          run: (key) => actions.pan(key === "Shift+ArrowLeft" ? -LEAP : LEAP),
        },
        {
          keys: ["+", "=", "-"],
          shown: ["+", "−"],
          text: t("Zoom in and out"),
          repeats: true,
          run: (key) => actions.zoom(key === "-" ? 1 / ZOOM : ZOOM),
        },
        { keys: ["0"], shown: ["0"], text: t("Normal zoom"), run: () => actions.zoomToNormal() },
        { keys: ["End"], shown: ["End"], text: t("Newest candle"), run: () => actions.toNewest() },
        {
          keys: ["Home"],
          shown: ["Home"],
          text: t("Oldest candle that is loaded"),
          run: () => actions.toOldest(),
        },
        {
          keys: ["j", "l"],
          shown: ["J", "L"],
          text: t("Previous and next candle, read out"),
          repeats: true,
          run: (key) => actions.stepCandle(key === "l" ? 1 : -1),
        },
      ],
    },
    {
      title: t("Series"),
      shortcuts: [
        {
          keys: DIGITS,
          shown: ["1", "…", "9"],
          text: t("Timeframe, in the order of the row"),
          run: (key) => actions.timeframe(Number(key) - 1),
        },
        {
          keys: [",", "."],
          shown: [",", "."],
          text: t("Shorter and longer timeframe"),
          run: (key) => actions.stepTimeframe(key === "," ? -1 : 1),
        },
        { keys: ["/"], shown: ["/"], text: t("Search markets"), run: () => actions.search() },
        {
          keys: ["m"],
          shown: ["M"],
          text: t("Show or hide markets"),
          run: () => actions.toggleMarkets(),
        },
      ],
    },
    {
      title: t("Drawings"),
      shortcuts: [
        {
          keys: ["n", "p"],
          shown: ["N", "P"],
          text: t("Next and previous drawing in view"),
          repeats: true,
          run: (key) => actions.stepDrawing(key === "n" ? 1 : -1),
        },
        { keys: ["f"], shown: ["F"], text: t("Choose factors"), run: () => actions.factors() },
        {
          keys: DIGITS.map((digit) => `Shift+${digit}`),
          shown: ["Shift 1", "…", "9"],
          text: t("Switch a factor, in the order of the row"),
          run: (key) => actions.toggleFactor(Number(key.at(-1)) - 1),
        },
        { keys: ["v"], shown: ["V"], text: t("Switch volume"), run: () => actions.toggleVolume() },
      ],
    },
    {
      title: t("Page"),
      shortcuts: [
        {
          keys: ["t"],
          shown: ["T"],
          text: t("Light or dark theme"),
          run: () => actions.toggleTheme(),
        },
        { keys: ["s"], shown: ["S"], text: t("Settings"), run: () => actions.settings() },
        { keys: ["i"], shown: ["I"], text: t("Status"), run: () => actions.toggleStatus() },
        { keys: ["?"], shown: ["?"], text: t("Keyboard shortcuts"), run: () => actions.map() },
        {
          keys: ["Escape"],
          shown: ["Esc"],
          text: t("Close what is open"),
          run: () => actions.close(),
        },
      ],
    },
  ];
}
