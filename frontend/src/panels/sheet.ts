/** A dialog at the lower edge of a small screen, which a swipe down closes too. */

import { Modal, type ModalLook } from "./modal";

/** A swipe that is longer, or faster, closes the sheet; pixels, and pixels a millisecond. */
const FAR_PX = 90;
const FAST = 0.5;

interface Swipe {
  readonly pointer: number;
  readonly from: number;
  readonly startedAt: number;
}

export class Sheet extends Modal {
  private swipe: Swipe | null = null;

  constructor(root: HTMLElement, look: Omit<ModalLook, "class">, content: readonly Node[]) {
    super(root, { ...look, class: "sheet" }, content);
    const { head } = this;
    head.addEventListener("pointerdown", (event) => this.began(event));
    head.addEventListener("pointermove", ({ pointerId, clientY }) => {
      if (pointerId === this.swipe?.pointer) this.moveTo(clientY - this.swipe.from);
    });
    head.addEventListener("pointerup", (event) => this.ended(event));
    head.addEventListener("pointercancel", () => this.rest());
    this.dialog.addEventListener("close", () => this.rest());
  }

  private began({ target, pointerId, clientY, timeStamp }: PointerEvent): void {
    if (target instanceof HTMLButtonElement) return;
    this.swipe = { pointer: pointerId, from: clientY, startedAt: timeStamp };
    this.head.setPointerCapture(pointerId);
  }

  private moveTo(distance: number): void {
    this.dialog.style.translate = `0 ${Math.max(0, distance)}px`;
  }

  private ended({ pointerId, clientY, timeStamp }: PointerEvent): void {
    const { swipe } = this;
    if (swipe?.pointer !== pointerId) return;
    const distance = clientY - swipe.from;
    const speed = distance / Math.max(1, timeStamp - swipe.startedAt);
    this.rest();
    if (distance > FAR_PX || (distance > 20 && speed > FAST)) this.close();
  }

  private rest(): void {
    this.swipe = null;
    this.dialog.style.translate = "";
  }
}
