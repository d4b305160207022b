/** The elements of a cell: the chart, and what stands over it. */

import { t } from "../i18n/words";
import { element, setHidden, setText } from "../dom";
import { formatOpenTime } from "../i18n/format";
import { Legend } from "./legend";
import { Mask, Notices, Toast, type MaskEvents } from "./stage-notices";
import type { SeriesState } from "trade-canvas-client/series-state";
import type { SeriesId } from "trade-canvas-client/series-id";
import type { Zone } from "../i18n/zone";

export interface StageEvents extends MaskEvents {
  /** The user wants to see the newest candles. */
  latest(): void;
}

export class Stage {
  /** What the chart is built in; carries the data attributes for tests. */
  readonly chart = element("div", {
    class: "chart",
    attributes: { tabindex: "0", role: "application", "aria-label": t("Candlestick chart") },
  });
  readonly legend: Legend;
  readonly notices: Notices;
  readonly mask: Mask;
  readonly toast: Toast;
  private readonly root: HTMLElement;
  private readonly toLive: HTMLElement;
  private readonly zoneSign = element("span", { class: "zone-sign" });
  private readonly beginning = element("div", { class: "beginning" });
  private axisWidth = 0;
  private readonly resized = (): void => this.legend.restyle();

  /** Builds everything inside `root`. */
  constructor(root: HTMLElement, events: StageEvents) {
    this.root = root;
    this.toLive = latestButton(() => events.latest());
    const legend = element("div", { class: "legend" });
    const notices = element("div", { class: "notices", attributes: { "aria-live": "polite" } });
    const toast = element("div", { class: "toast", attributes: { role: "status" } });
    const mask = element("div", {
      class: "mask",
      attributes: { role: "status", "aria-live": "polite" },
    });
    const head = element("div", { class: "stage-head" }, [legend, notices, this.beginning]);
    root.append(this.chart, head, toast, this.zoneSign, this.toLive, mask);
    this.legend = new Legend(legend);
    this.toast = new Toast(toast);
    this.mask = new Mask(mask, events);
    this.notices = new Notices(notices, () => events.retried());
    window.addEventListener("resize", this.resized);
  }

  /** Names the series for screen readers. */
  nameSeries({ text }: SeriesId): void {
    this.chart.setAttribute("aria-label", t("Candlestick chart of {series}", { series: text }));
  }

  /** Shows in which zone times are; reading the name of the browser's zone is slow. */
  nameZone({ name }: Zone): void {
    // `America/New_York` becomes `New York`.
    setText(this.zoneSign, (name.split("/").at(-1) as string).replaceAll("_", " "));
    this.zoneSign.title = t("Times are shown in the zone {zone}", { zone: name });
  }

  /** Offers to show the newest candles, unless they are in view. */
  showAtEnd(atEnd: boolean): void {
    setHidden(this.toLive, atEnd);
  }

  /** Shows where history begins, while its first candle is in view; `viewedFrom` is UTC seconds. */
  showBeginning(state: SeriesState, viewedFrom: number, zone: Zone): void {
    const first = state.candles[0]?.candle_time;
    const begins = first !== undefined && first === state.historyBegins;
    const visible = begins && viewedFrom <= first;
    setHidden(this.beginning, !visible);
    if (!visible) return;
    const time = formatOpenTime(first, zone, state.timeframe);
    setText(this.beginning, t("History begins {time}", { time }));
  }

  /** Leaves the price axis free, which is as wide as its prices; pixels. */
  keepOffAxis(axisWidth: number): void {
    if (axisWidth === this.axisWidth) return;
    this.axisWidth = axisWidth;
    this.root.style.setProperty("--axis", `${axisWidth}px`);
  }

  /** Leaves the root empty. */
  remove(): void {
    window.removeEventListener("resize", this.resized);
    this.root.replaceChildren();
  }
}

function latestButton(onClick: () => void): HTMLButtonElement {
  const button = element("button", { class: "to-live", attributes: { type: "button" }, onClick }, [
    element("span", { text: t("Latest") }),
  ]);
  button.insertAdjacentHTML(
    "beforeend",
    '<svg viewBox="0 0 12 12" aria-hidden="true"><path d="m3 3 3 3-3 3M7 3l3 3-3 3" /></svg>',
  );
  button.hidden = true;
  return button;
}
