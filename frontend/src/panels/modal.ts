/** A dialog over the page, which keeps the focus until it is closed. */

import { element } from "../dom";
import { t, type Text } from "../i18n/words";

export interface ModalLook {
  readonly name: string;
  readonly title: Text;
  readonly closeLabel: Text;
  readonly class: string;
}

export class Modal {
  readonly dialog: HTMLDialogElement;
  readonly head: HTMLElement;

  /** Builds the dialog inside `root`. */
  constructor(root: HTMLElement, look: ModalLook, content: readonly Node[]) {
    const id = `${look.name}-title`;
    this.head = element("div", { class: "dialog-head" }, [
      element("h2", { text: t(look.title), attributes: { id } }),
      element("button", {
        class: "dialog-close",
        text: "✕",
        attributes: { type: "button", "aria-label": t(look.closeLabel) },
        onClick: () => this.close(),
      }),
    ]);
    const attributes = { id: look.name, "aria-labelledby": id, "aria-modal": "true" };
    this.dialog = element("dialog", { class: look.class, attributes }, [this.head, ...content]);
    // A click beside the content is one on the dialog itself.
    this.dialog.addEventListener("click", ({ target }) => {
      if (target === this.dialog) this.close();
    });
    root.append(this.dialog);
  }

  /** Opens it, or closes it. */
  toggle(): void {
    if (this.dialog.open) this.close();
    else this.dialog.showModal();
  }

  close(): void {
    this.dialog.close();
  }
}
