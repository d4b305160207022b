/** The drawings in view one after another, each named and framed: what keys show of them. */

import { t } from "../i18n/words";
import { element, setHidden, setText } from "../dom";
import { keyOf, type Stop } from "./stops";
import type { Caption } from "./caption";
import type { DrawingTip, PlaceText } from "./drawing-tip";

/** What the tour is through. */
export interface Toured {
  /** The drawings in view, in the order of time. */
  stops(): readonly Stop[];
  captionOf(stop: Stop): Caption;
  /** The time of a candle by its position, as text; empty where it is not known. */
  timeText(index: number): string;
}

const FRAME_PX = 4;

export class DrawingTour {
  private readonly toured: Toured;
  private readonly tip: DrawingTip;
  private readonly frame = element("div", { class: "drawing-frame" });
  private readonly spoken = element("div", { class: "spoken", attributes: { role: "status" } });
  /** The drawing that was stepped on last. */
  private at: { readonly key: string; readonly from: number } | null = null;

  constructor(parent: HTMLElement, tip: DrawingTip, toured: Toured) {
    this.tip = tip;
    this.toured = toured;
    this.frame.hidden = true;
    parent.append(this.frame, this.spoken);
  }

  get isOn(): boolean {
    return this.at !== null;
  }

  /** Goes to the next drawing in view, or with -1 to the one before; false if there is none. */
  step(by: 1 | -1): boolean {
    const stops = this.toured.stops();
    const stop = stops[this.nextPlace(stops, by)];
    if (stop === undefined) {
      this.leave();
      return false;
    }
    this.at = { key: keyOf(stop), from: stop.from };
    this.show(stop, stops);
    const { title, prices, description } = this.toured.captionOf(stop);
    const { time, count } = this.placeOf(stop, stops);
    const words = [title, prices, time, count, description];
    setText(this.spoken, words.filter((text) => text !== "").join(". "));
    return true;
  }

  /** Follows the drawing after the chart was painted anew; one that left the view is hidden. */
  follow(): void {
    const { at } = this;
    if (at === null) return;
    const stops = this.toured.stops();
    const stop = stops.find((each) => keyOf(each) === at.key);
    if (stop !== undefined) this.show(stop, stops);
    else this.hide();
  }

  /** Ends the tour; returns whether there was one. */
  leave(): boolean {
    const wasOn = this.isOn;
    this.at = null;
    if (wasOn) this.hide();
    setText(this.spoken, "");
    return wasOn;
  }

  remove(): void {
    this.frame.remove();
    this.spoken.remove();
  }

  /** Without a drawing to go on from, the first or the last one in view. */
  private nextPlace(stops: readonly Stop[], by: 1 | -1): number {
    const { at } = this;
    const count = stops.length;
    if (at === null) return by > 0 ? 0 : count - 1;
    const place = stops.findIndex((each) => keyOf(each) === at.key);
    if (place >= 0) return (place + by + count) % count;
    const later = stops.findIndex(({ from }) => from > at.from);
    const after = later < 0 ? count : later;
    return ((by > 0 ? after : after - 1) + count) % count;
  }

  private show(stop: Stop, stops: readonly Stop[]): void {
    const { left, top, right, bottom } = stop.area;
    const caption = this.toured.captionOf(stop);
    this.tip.show(caption, right, (top + bottom) / 2, this.placeOf(stop, stops));
    const { style } = this.frame;
    style.left = `${left - FRAME_PX}px`;
    style.top = `${top - FRAME_PX}px`;
    style.width = `${right - left + 2 * FRAME_PX}px`;
    style.height = `${bottom - top + 2 * FRAME_PX}px`;
    setHidden(this.frame, false);
  }

  private hide(): void {
    this.tip.hide();
    setHidden(this.frame, true);
  }

  private placeOf(stop: Stop, stops: readonly Stop[]): PlaceText {
    const [from, to] = [this.toured.timeText(stop.from), this.toured.timeText(stop.to)];
    const count = t("{place} of {all}", { place: stops.indexOf(stop) + 1, all: stops.length });
    return { time: from === to ? from : `${from} – ${sinceDate(from, to)}`, count };
  }
}

/** A time without its date where that is the date of the time before it. */
function sinceDate(before: string, time: string): string {
  const [date, clock] = time.split(" ");
  return clock !== undefined && before.startsWith(`${date} `) ? clock : time;
}
