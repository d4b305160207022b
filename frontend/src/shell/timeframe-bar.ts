/** The choice of timeframe: a row of buttons, and a list where the screen has no room for them. */

import { element, keepChildren } from "../dom";
import { tryParseSeriesId, type SeriesId } from "trade-canvas-client/series-id";
import { offeredTimeframes } from "trade-canvas-client/timeframe";

export interface TimeframeRoots {
  readonly row: HTMLElement;
  readonly list: HTMLSelectElement;
}

export class TimeframeBar {
  private readonly roots: TimeframeRoots;
  private readonly onPick: (timeframe: string) => void;
  private derived: readonly string[] = [];
  private offered: readonly string[] = [];

  constructor(roots: TimeframeRoots, onPick: (timeframe: string) => void) {
    this.roots = roots;
    this.onPick = onPick;
    roots.list.addEventListener("change", () => onPick(roots.list.value));
  }

  /** The base timeframe and those made of it: a symbol that is followed in one has them all. */
  setDerived(timeframes: readonly string[]): void {
    this.derived = timeframes;
  }

  render(current: SeriesId, whitelist: readonly string[]): void {
    const listed = whitelist
      .flatMap((text) => tryParseSeriesId(text) ?? [])
      .filter((series) => sameInstrument(series, current))
      .map((series) => series.timeframe.text);
    const hasDerived = listed.some((text) => this.derived.includes(text));
    const followed = hasDerived ? [...listed, ...this.derived] : listed;
    const { text: chosen } = current.timeframe;
    this.offered = offeredTimeframes([...followed, ...this.derived, chosen]);
    const { row, list } = this.roots;
    const byText = ({ textContent }: Element): string => textContent;
    keepChildren(row, this.offered.map((text) => this.button(text, current, followed)), byText);
    keepChildren(list, this.offered.map((text) => element("option", { text })), byText);
    list.value = chosen;
    const pressed = row.querySelector('[aria-pressed="true"]');
    pressed?.scrollIntoView?.({ block: "nearest", inline: "nearest" });
  }

  /** Picks the timeframe at a place of the row, from 0; nothing happens beyond its end. */
  pick(place: number): void {
    const timeframe = this.offered[place];
    if (timeframe !== undefined) this.onPick(timeframe);
  }

  /** Picks the next longer timeframe, or with -1 the next shorter one. */
  step(by: 1 | -1): void {
    this.pick(this.offered.indexOf(this.roots.list.value) + by);
  }

  private button(text: string, current: SeriesId, followed: readonly string[]): HTMLElement {
    const pressed = text === current.timeframe.text;
    const button = element("button", {
      class: "timeframe",
      text,
      attributes: { type: "button", "aria-pressed": String(pressed), "data-timeframe": text },
      onClick: () => this.onPick(text),
    });
    if (followed.includes(text)) button.dataset["followed"] = "";
    return button;
  }
}

function sameInstrument(left: SeriesId, right: SeriesId): boolean {
  return (
    left.exchange === right.exchange && left.market === right.market && left.symbol === right.symbol
  );
}
