/** The tooltip of a drawing: of the one under the pointer, or of the one that keys stepped on. */

import { element, setHidden, setText } from "../dom";
import type { Caption } from "./caption";

/** When a drawing is, and which of how many. */
export interface PlaceText {
  readonly time: string;
  readonly count: string;
}

const NO_PLACE: PlaceText = { time: "", count: "" };
const AWAY_PX = 14;

export class DrawingTip {
  private readonly parent: HTMLElement;
  private readonly title = element("span", { class: "drawing-tip-title" });
  private readonly count = element("span", { class: "drawing-tip-count" });
  private readonly prices = element("div", { class: "drawing-tip-prices" });
  private readonly description = element("div", { class: "drawing-tip-text" });
  private readonly time = element("div", { class: "drawing-tip-time" });
  private readonly root = element(
    "div",
    { class: "drawing-tip", attributes: { role: "tooltip" } },
    [
      element("div", { class: "drawing-tip-head" }, [this.title, this.count]),
      ...[this.prices, this.description, this.time],
    ],
  );

  constructor(parent: HTMLElement) {
    this.parent = parent;
    this.root.hidden = true;
    parent.append(this.root);
  }

  /** Shows a caption beside a point of the parent, within it; what keys stepped on has its place too. */
  show({ title, prices, description }: Caption, x: number, y: number, place: PlaceText = NO_PLACE): void {
    setText(this.title, title);
    setText(this.prices, prices);
    setText(this.description, description);
    setText(this.count, place.count);
    setText(this.time, place.time);
    this.root.hidden = false;
    const { offsetWidth: width, offsetHeight: height } = this.root;
    const left = x + AWAY_PX + width > this.parent.clientWidth ? x - AWAY_PX - width : x + AWAY_PX;
    const top = Math.min(y + AWAY_PX, this.parent.clientHeight - height - 4);
    this.root.style.left = `${Math.max(4, left)}px`;
    this.root.style.top = `${Math.max(4, top)}px`;
  }

  /** Called with each candle that moves the chart. */
  hide(): void {
    setHidden(this.root, true);
  }

  remove(): void {
    this.root.remove();
  }
}
