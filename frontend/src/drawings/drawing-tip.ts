/** The tooltip of a drawing: of the one under the pointer, or of the one that keys stepped on. */

import { element, setText } from "../dom";
import type { Caption } from "./caption";

const AWAY_PX = 14;

export class DrawingTip {
  private readonly parent: HTMLElement;
  private readonly title = element("div", { class: "drawing-tip-title" });
  private readonly prices = element("div", { class: "drawing-tip-prices" });
  private readonly description = element("div", { class: "drawing-tip-text" });
  private readonly place = element("div", { class: "drawing-tip-place" });
  private readonly root = element(
    "div",
    { class: "drawing-tip", attributes: { role: "tooltip" } },
    [this.title, this.prices, this.description, this.place],
  );

  constructor(parent: HTMLElement) {
    this.parent = parent;
    this.root.hidden = true;
    parent.append(this.root);
  }

  /** Shows a caption beside a point of the parent, within it; `place` is a last line. */
  show({ title, prices, description }: Caption, x: number, y: number, place = ""): void {
    setText(this.title, title);
    setText(this.prices, prices);
    setText(this.description, description);
    setText(this.place, place);
    this.root.hidden = false;
    const { offsetWidth: width, offsetHeight: height } = this.root;
    const left = x + AWAY_PX + width > this.parent.clientWidth ? x - AWAY_PX - width : x + AWAY_PX;
    const top = Math.min(y + AWAY_PX, this.parent.clientHeight - height - 4);
    this.root.style.left = `${Math.max(4, left)}px`;
    this.root.style.top = `${Math.max(4, top)}px`;
  }

  hide(): void {
    this.root.hidden = true;
  }

  remove(): void {
    this.root.remove();
  }
}
