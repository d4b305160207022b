/** The status button of the header, its panel of details, and the figures at the bottom. */

import { element, setData, setHidden, setText } from "../dom";
import { t } from "../i18n/words";
import { PRICE_SLACK_PX, type PaintedTexts } from "../painted-text";
import { overallOf, type Fact } from "./status";
import type { Sign } from "../chart/connection-text";
import type { Lamps } from "../panels/health-lamps";
import type { Lamp } from "../panels/lamps";

export interface StatusRoots {
  readonly button: HTMLElement;
  readonly word: HTMLElement;
  readonly panel: HTMLElement;
  /** Read out by screen readers when it changes. */
  readonly spoken: HTMLElement;
}

/** One sign for the state of everything; a click shows the parts of it. */
export class StatusPanel {
  private readonly roots: StatusRoots;
  private readonly connection = new PartRow("connection", t("Connection"));
  private readonly candles = new PartRow("candle-lamp", t("Candles"));
  private readonly derived = new PartRow("derived-lamp", t("Base"));
  private readonly factors = new PartRow("factor-lamp", t("Factors"));
  private readonly drawings = new PartRow("drawing-lamp", t("Drawings"));
  private readonly facts: FactList;
  private newest: readonly Fact[] = [];
  private isOpen = false;
  private sign: Sign | null = null;
  private lamps: Lamps | null = null;

  /** `note` stands below the details. */
  constructor(roots: StatusRoots, note: readonly Node[]) {
    this.roots = roots;
    const { connection, candles, derived, factors, drawings } = this;
    const rows = [connection, candles, derived, factors, drawings];
    const facts = element("div", { class: "status-figures" });
    this.facts = new FactList(facts);
    roots.panel.append(
      element("dl", { class: "status-parts" }, rows.map(({ root }) => root)),
      facts,
      element("p", { class: "status-note" }, note),
    );
    // The browser shows, hides and closes a popover by itself, and returns the focus.
    roots.panel.addEventListener("toggle", (event) => {
      this.isOpen = (event as ToggleEvent).newState === "open";
      if (!this.isOpen) return;
      this.facts.render(this.newest);
      roots.panel.focus({ preventScroll: true });
    });
  }

  /** Opens or closes the details. */
  toggle(): void {
    this.roots.panel.togglePopover();
  }

  showConnection(sign: Sign): void {
    this.sign = sign;
    this.connection.render({ state: null, ...sign });
    this.render();
  }

  showLamps(lamps: Lamps): void {
    this.lamps = lamps;
    this.candles.render(lamps.candles);
    this.derived.render(lamps.derived);
    this.factors.render(lamps.factors);
    this.drawings.render(lamps.drawings);
    this.render();
  }

  showFacts(facts: readonly Fact[]): void {
    this.newest = facts;
    if (this.isOpen) this.facts.render(facts);
  }

  private render(): void {
    const { sign, lamps, roots } = this;
    if (sign === null) return;
    const { tone, word } = overallOf(sign, lamps);
    setData(roots.button, "tone", tone);
    setText(roots.word, word);
    setText(roots.spoken, word);
  }
}

type Part = Omit<Lamp, "state"> & { readonly state: Lamp["state"] | null };

/** A part of the status: a coloured dot, a name, a word and a sentence. */
class PartRow {
  readonly root: HTMLElement;
  private readonly label = element("span", { class: "status-label" });
  private readonly explanation = element("span", { class: "status-explanation" });

  constructor(id: string, name: string) {
    const dot = element("span", { class: "dot", attributes: { "aria-hidden": "true" } });
    this.root = element("div", { class: "status-part", attributes: { id } }, [
      element("dt", {}, [dot, name]),
      element("dd", {}, [this.label, this.explanation]),
    ]);
  }

  /** Null hides it. */
  render(part: Part | null): void {
    setHidden(this.root, part === null);
    if (part === null) return;
    if (part.state !== null) setData(this.root, "state", part.state);
    setData(this.root, "tone", part.tone);
    setText(this.label, part.label);
    setText(this.explanation, part.explanation);
  }
}

/**
 * Figures side by side; those that are not known are left out. With `painted` their texts are painted:
 * for a list that is always in view, where some of them change every second.
 */
export class FactList {
  private readonly root: HTMLElement;
  private readonly painted: PaintedTexts | null;
  private readonly rows = new Map<string, FactRow>();

  constructor(root: HTMLElement, painted: PaintedTexts | null = null) {
    this.root = root;
    this.painted = painted;
  }

  render(facts: readonly Fact[]): void {
    for (const fact of facts) {
      const { root, show } = this.rows.get(fact.name) ?? this.add(fact);
      setHidden(root, fact.text === null);
      root.classList.toggle("fact-warning", fact.warns);
      show(fact.text ?? "", fact.warns);
    }
  }

  private add({ name, explanation }: Fact): FactRow {
    const value = element("span", { class: "fact-value" });
    const root = element(
      "span",
      {
        class: `fact fact-${name.toLowerCase().replace(" ", "-")}`,
        attributes: { title: t(explanation) },
      },
      [element("span", { class: "fact-name", text: t(name) }), value],
    );
    const painted = this.painted?.add(value, PRICE_SLACK_PX);
    const row: FactRow = {
      root,
      show: (text, warns) => {
        if (painted === undefined) setText(value, text);
        else painted.show(text, warns ? "--warn-text" : "--text");
      },
    };
    this.rows.set(name, row);
    this.root.append(root);
    return row;
  }
}

interface FactRow {
  readonly root: HTMLElement;
  show(text: string, warns: boolean): void;
}
