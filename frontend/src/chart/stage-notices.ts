/** Messages over the chart: loading mask, empty hint, error with retry, reconnecting, holes. */

import { CONNECTION_LOST } from "trade-canvas-client/explanations";
import { placeName, t, translated } from "../i18n/words";
import { element, setData, setHidden, setText } from "../dom";
import { holeText, retryText } from "./connection-text";
import type { Zone } from "../i18n/zone";
import { displaySymbol, type SeriesId } from "trade-canvas-client/series-id";
import type { SeriesState } from "trade-canvas-client/series-state";

const LISTED_HOLES = 20;

export interface MaskEvents {
  /** The user wants another attempt. */
  retried(): void;
  /** The user chose a series that was offered. */
  chosen(seriesId: string): void;
  /** Series to offer instead of one that does not exist. */
  offers(seriesId: string): readonly SeriesId[];
}

/** Refusals after which no further attempt helps. */
const ABSENT = new Set([
  "unknown_symbol",
  "exchange_not_served",
  "invalid_series_id",
  "series_alias",
]);

function isAbsent({ status, failure }: SeriesState): boolean {
  return status === "error" && failure !== null && ABSENT.has(failure.code);
}

/** Covers the chart while there are no candles. */
export class Mask {
  private readonly root: HTMLElement;
  private readonly spinner = element("div", {
    class: "spinner",
    attributes: { "aria-hidden": "true" },
  });
  private readonly title = element("p", { class: "mask-title" });
  private readonly text = element("p", { class: "mask-text" });
  private readonly retry: HTMLButtonElement;
  private readonly offers = element("div", { class: "mask-offers" });
  private readonly events: MaskEvents;

  constructor(root: HTMLElement, events: MaskEvents) {
    this.root = root;
    this.events = events;
    this.retry = element("button", {
      class: "button",
      text: t("Try again"),
      attributes: { type: "button" },
      onClick: () => events.retried(),
    });
    const parts = [this.spinner, this.title, this.text, this.retry, this.offers];
    root.append(element("div", { class: "mask-card" }, parts));
  }

  render(state: SeriesState, nowMs: number): void {
    const words = maskWords(state, nowMs);
    setHidden(this.root, words === null);
    if (words === null) return;
    this.show(words);
    setData(this.root, "tone", state.status);
    setHidden(this.spinner, state.status === "error");
    const absent = isAbsent(state);
    const retries = state.status === "error" || state.status === "reconnecting";
    setHidden(this.retry, absent || !retries);
    this.offer(absent ? this.events.offers(state.seriesId) : []);
    // Screen readers must not read a countdown every second.
    this.text.ariaHidden = String(state.status === "reconnecting");
  }

  /** Shows a message while there is no series. */
  renderNothing(title: string, text: string, offers: readonly SeriesId[] = []): void {
    this.root.hidden = false;
    this.retry.hidden = true;
    this.spinner.hidden = offers.length > 0;
    this.offer(offers);
    this.show([title, text]);
  }

  /** Shows buttons that open other series. */
  private offer(offers: readonly SeriesId[]): void {
    const names = offers.map(({ text }) => text).join(" ");
    if (this.offers.dataset["offers"] === names) return;
    this.offers.dataset["offers"] = names;
    const buttons = offers.map((series) =>
      element("button", {
        class: "button button-offer",
        text: `${displaySymbol(series.symbol)} ${series.timeframe.text} · ${placeName(series)}`,
        attributes: { type: "button", "data-series-id": series.text },
        onClick: () => this.events.chosen(series.text),
      }),
    );
    this.offers.replaceChildren(...buttons);
    this.offers.hidden = buttons.length === 0;
  }

  private show([title, text]: readonly [string, string]): void {
    setText(this.title, title);
    setText(this.text, text);
  }
}

function maskWords(state: SeriesState, nowMs: number): readonly [string, string] | null {
  if (state.candles.length > 0 || state.forming !== null) return null;
  switch (state.status) {
    case "error": {
      const title = isAbsent(state) ? t("There is no such series") : t("This series can not be shown");
      return [title, translated(state.failure?.detail ?? "")];
    }
    case "reconnecting":
      return [t("Server not reachable"), retryText(state, nowMs)];
    case "empty":
      if (state.halted) {
        return [
          t("No candles"),
          t("The exchange has halted or delisted this market: no new candles come."),
        ];
      }
      return [
        t("No candles yet"),
        t("Waiting for background sync. The chart starts by itself."),
      ];
    case "backfilling":
      return [t("Backfilling"), t("Reading up to the newest candle…")];
    default:
      return [t("Loading candles"), t("Reading the newest history…")];
  }
}

/** Banners at the chart's upper edge, over candles that stay visible. */
export class Notices {
  private readonly banner = element("div", { class: "notice" });
  private readonly bannerText = element("span");
  private readonly countdown = element("span", { attributes: { "aria-hidden": "true" } });
  private readonly retry: HTMLButtonElement;
  private readonly capacity = element("div", {
    class: "notice notice-warning",
    text: t("Capacity reached: this series is read every few seconds instead of live."),
  });
  private readonly halted = element("div", {
    class: "notice notice-warning",
    text: t("The exchange has halted or delisted this market: no new candles come."),
  });
  private readonly gaps = element("details", { class: "notice notice-gap" });
  private readonly gapSummary = element("summary");
  private readonly gapList = element("ul", { attributes: { "aria-live": "off" } });
  private holed: SeriesState | null = null;
  private zone: Zone | null = null;

  constructor(root: HTMLElement, onRetry: () => void) {
    this.retry = element("button", {
      class: "button button-small",
      attributes: { type: "button" },
      onClick: onRetry,
    });
    this.banner.append(this.bannerText, this.countdown, this.retry);
    this.gaps.append(this.gapSummary, this.gapList);
    root.append(this.banner, this.capacity, this.halted, this.gaps);
    this.gaps.addEventListener("toggle", () => this.listGaps());
  }

  /** Times are shown by the clocks of the zone. */
  render(state: SeriesState, nowMs: number, zone: Zone): void {
    this.renderBanner(state, nowMs);
    setHidden(this.capacity, !state.atCapacity);
    // Without candles the mask has the sentence.
    setHidden(this.halted, !state.halted || state.candles.length === 0);
    this.renderGaps(state, zone);
  }

  private renderBanner(state: SeriesState, nowMs: number): void {
    const failed = state.status === "error";
    const visible = state.candles.length > 0 && (failed || state.status === "reconnecting");
    setHidden(this.banner, !visible);
    if (!visible) return;
    setData(this.banner, "tone", failed ? "bad" : "warning");
    const detail = translated(state.failure?.detail ?? CONNECTION_LOST);
    setText(this.bannerText, detail);
    setText(this.countdown, failed ? "" : retryText(state, nowMs));
    setHidden(this.countdown, failed);
    setText(this.retry, failed ? t("Try again") : t("Now"));
  }

  private renderGaps(state: SeriesState, zone: Zone): void {
    const newest = state.holes.at(-1);
    setHidden(this.gaps, newest === undefined);
    if (newest === undefined) return;
    const others = state.holes.length - 1;
    const count = others === 1 ? t("1 more gap") : t("{count} more gaps", { count: others });
    const more = others === 0 ? "" : ` · ${count}`;
    setText(this.gapSummary, holeText(state, newest, zone) + more);
    const same =
      this.holed?.holes === state.holes &&
      this.holed.announcedGaps === state.announcedGaps &&
      this.zone === zone;
    this.holed = state;
    this.zone = zone;
    if (!same) this.listGaps();
  }

  private listGaps(): void {
    const { holed, zone } = this;
    if (holed === null || zone === null || !this.gaps.open) return;
    const newest = holed.holes.slice(-LISTED_HOLES).reverse();
    const items = newest.map((hole) => element("li", { text: holeText(holed, hole, zone) }));
    this.gapList.replaceChildren(...items);
  }
}

const TOAST_MS = 3200;

/** A message that disappears by itself. */
export class Toast {
  private readonly root: HTMLElement;
  private timer = 0;

  constructor(root: HTMLElement) {
    this.root = root;
    root.hidden = true;
  }

  show(text: string): void {
    window.clearTimeout(this.timer);
    setText(this.root, text);
    this.root.hidden = text === "";
    this.timer = window.setTimeout(() => (this.root.hidden = true), TOAST_MS);
  }
}
