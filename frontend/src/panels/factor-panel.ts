/** The row of factors under the header: one chip each, its sub-features in a list below it. */

import { t } from "../i18n/words";
import { element, setText } from "../dom";
import { isInk } from "../drawings/ink";
import { featureRow, type FeatureRow } from "./feature-row";
import { isOn, type Choice, type Visibility } from "../studies/factor-visibility";
import type { Factor } from "../studies/factor-catalog";

/** How long the list stays after the pointer left: long enough to move back to it. */
const LEAVE_MS = 140;
const EDGE_PX = 8;

/** Reads and changes the switches. */
export interface Switches {
  /** Only ever gets longer. */
  readonly features: readonly Factor[];
  visibility(): Visibility;
  choose(choice: Choice): void;
  subscribe(listener: () => void): () => void;
}

export class FactorPanel {
  private readonly root: HTMLElement;
  private readonly switches: Switches;
  private shown: readonly Factor[] = [];
  private readonly chips: Chip[] = [];

  constructor(root: HTMLElement, switches: Switches) {
    this.root = root;
    this.switches = switches;
    switches.subscribe(() => this.render());
    this.render();
  }

  /** Shows the features and their switches as they are now. */
  private render(): void {
    const { features } = this.switches;
    if (features !== this.shown) this.add(features);
    for (const chip of this.chips) chip.render(this.switches.visibility());
  }

  /** Adds the features that are new: one that is pressed or has the focus stays. */
  private add(features: readonly Factor[]): void {
    const opened = (chip: Chip): void => {
      for (const other of this.chips) if (other !== chip) other.close();
    };
    const added = features
      .slice(this.shown.length)
      .map((factor) => new Chip(factor, this.switches, opened));
    this.chips.push(...added);
    this.root.append(...added.map((chip) => chip.root));
    this.root.hidden = features.length === 0;
    this.shown = features;
  }

  /** Shows how many drawings of each feature are on the chart. */
  count(drawn: Readonly<Record<string, readonly string[]>>): void {
    for (const chip of this.chips) chip.count(drawn);
  }
}

/** The ink of its drawings, if they have one. */
function inkOf({ subFeatures }: Factor): string | undefined {
  return subFeatures.map(({ look }) => look?.color ?? "").find(isInk);
}

class Chip {
  readonly root: HTMLElement;
  private readonly factor: Factor;
  private readonly toggle: HTMLButtonElement;
  private readonly opener: HTMLButtonElement;
  private readonly list: HTMLElement;
  private readonly rows: readonly FeatureRow[];
  private readonly onOpen: (chip: Chip) => void;
  private leaving = 0;

  constructor(factor: Factor, switches: Switches, onOpen: (chip: Chip) => void) {
    this.factor = factor;
    this.onOpen = onOpen;
    this.rows = factor.subFeatures.map((feature) => featureRow(feature, switches));
    this.toggle = this.makeToggle(switches);
    this.opener = this.makeOpener();
    this.list = element(
      "div",
      {
        class: "factor-list",
        attributes: { id: `factor-list-${factor.key}`, role: "group", "aria-label": factor.label },
      },
      this.rows.map(({ root }) => root),
    );
    this.list.hidden = true;
    this.root = element("div", { class: "factor", attributes: { "data-factor": factor.key } }, [
      this.toggle,
      ...(this.rows.length > 0 ? [this.opener, this.list] : []),
    ]);
    const ink = inkOf(factor);
    if (ink !== undefined) this.root.style.setProperty("--hue", `var(--ink-${ink})`);
    this.listen();
  }

  render(visibility: Visibility): void {
    const on = isOn(visibility, this.factor.key);
    this.toggle.setAttribute("aria-pressed", String(on));
    this.root.classList.toggle("factor-off", !on);
    for (const { feature, box } of this.rows) box.checked = isOn(visibility, feature.key);
    const shown = this.rows.filter(({ box }) => box.checked).length;
    setText(this.opener.firstElementChild as Element, `${shown}/${this.rows.length}`);
    this.opener.setAttribute(
      "aria-label",
      t("{name}: {shown}/{all} parts chosen", {
        name: this.factor.label,
        shown,
        all: this.rows.length,
      }),
    );
  }

  count(drawn: Readonly<Record<string, readonly string[]>>): void {
    for (const row of this.rows) row.count(drawn);
  }

  close(): void {
    window.clearTimeout(this.leaving);
    if (this.list.hidden) return;
    if (this.list.contains(document.activeElement)) this.opener.focus({ preventScroll: true });
    this.list.hidden = true;
    this.opener.setAttribute("aria-expanded", "false");
  }

  private open(): void {
    window.clearTimeout(this.leaving);
    if (!this.list.hidden || this.rows.length === 0) return;
    this.onOpen(this);
    this.list.hidden = false;
    this.opener.setAttribute("aria-expanded", "true");
    this.place();
  }

  /** Places the list below the chip, within the window. */
  private place(): void {
    const { left, bottom } = this.root.getBoundingClientRect();
    const most = window.innerWidth - this.list.offsetWidth - EDGE_PX;
    this.list.style.left = `${Math.max(EDGE_PX, Math.min(left, most))}px`;
    this.list.style.top = `${bottom + 4}px`;
  }

  private makeToggle(switches: Switches): HTMLButtonElement {
    const { key, label } = this.factor;
    return element("button", {
      class: "factor-toggle",
      text: label,
      attributes: { type: "button", "data-feature": key },
      onClick: () => switches.choose({ key, on: !isOn(switches.visibility(), key) }),
    });
  }

  private makeOpener(): HTMLButtonElement {
    const attributes = {
      type: "button",
      "aria-expanded": "false",
      "aria-controls": `factor-list-${this.factor.key}`,
    };
    return element("button", { class: "factor-opener", attributes }, [element("span")]);
  }

  private listen(): void {
    // The list opens when the pointer enters; the click that follows must not close it.
    let hovered = false;
    this.root.addEventListener("pointerenter", ({ pointerType }) => {
      if (pointerType !== "mouse") return;
      hovered = this.list.hidden === true;
      this.open();
    });
    this.root.addEventListener("pointerleave", ({ pointerType }) => {
      if (pointerType === "mouse") this.leave();
    });
    this.opener.addEventListener("click", () => {
      if (this.list.hidden || hovered) this.open();
      else this.close();
      hovered = false;
    });
    this.root.addEventListener("keydown", (event) => this.steer(event));
    this.root.addEventListener("focusout", (event) => {
      if (!this.root.contains(event.relatedTarget as Node | null)) this.leave();
    });
    document.addEventListener("pointerdown", ({ target }) => {
      if (!this.root.contains(target as Node)) this.close();
    });
  }

  private leave(): void {
    window.clearTimeout(this.leaving);
    this.leaving = window.setTimeout(() => {
      const inside = this.root.matches(":hover") || this.list.contains(document.activeElement);
      if (!inside) this.close();
    }, LEAVE_MS);
  }

  /** Escape closes the list; up and down move through it. */
  private steer(event: KeyboardEvent): void {
    if (event.key === "Escape" && !this.list.hidden) {
      event.stopPropagation();
      this.close();
    }
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    event.preventDefault();
    this.open();
    const boxes = this.rows.map(({ box }) => box);
    const at = boxes.indexOf(document.activeElement as HTMLInputElement);
    const next = event.key === "ArrowDown" ? at + 1 : Math.max(0, at - 1);
    boxes[Math.min(next, boxes.length - 1)]?.focus({ preventScroll: true });
  }
}
