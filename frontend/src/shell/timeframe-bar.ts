/** The row of timeframe buttons. */

import { element } from "../dom";
import { tryParseSeriesId, type SeriesId } from "../sync/series-id";
import { offeredTimeframes } from "../sync/timeframe";

export class TimeframeBar {
  private readonly root: HTMLElement;
  private readonly onPick: (timeframe: string) => void;

  constructor(root: HTMLElement, onPick: (timeframe: string) => void) {
    this.root = root;
    this.onPick = onPick;
  }

  render(current: SeriesId, whitelist: readonly string[]): void {
    const followed = whitelist
      .flatMap((text) => tryParseSeriesId(text) ?? [])
      .filter((series) => sameInstrument(series, current))
      .map((series) => series.timeframe.text);
    const offered = offeredTimeframes([...followed, current.timeframe.text]);
    this.root.replaceChildren(...offered.map((text) => this.button(text, current, followed)));
    this.root
      .querySelector('[aria-pressed="true"]')
      ?.scrollIntoView({ block: "nearest", inline: "nearest" });
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
