/** Factors and their parts as one list, for screens without room for the row of chips. */

import { element } from "../dom";
import { featureRow, type FeatureRow } from "./feature-row";
import { isOn } from "../studies/factor-visibility";
import type { Factor } from "../studies/factor-catalog";
import type { Switches } from "./factor-panel";

export class FactorSheet {
  readonly root = element("div", { class: "sheet-factors" });
  private readonly switches: Switches;
  private shown: readonly Factor[] = [];
  private rows: readonly FeatureRow[] = [];

  constructor(switches: Switches) {
    this.switches = switches;
    switches.subscribe(() => this.render());
    this.render();
  }

  /** Shows how many drawings of each feature are on the chart. */
  count(drawn: Readonly<Record<string, readonly string[]>>): void {
    for (const row of this.rows) row.count(drawn);
  }

  private render(): void {
    const { features } = this.switches;
    if (features !== this.shown) this.rebuild(features);
    const visibility = this.switches.visibility();
    for (const { feature, box } of this.rows) box.checked = isOn(visibility, feature.key);
  }

  private rebuild(features: readonly Factor[]): void {
    this.shown = features;
    const groups = features.map((factor) => {
      const whole = featureRow(factor, this.switches);
      whole.root.classList.add("sheet-factor-whole");
      const parts = factor.subFeatures.map((feature) => featureRow(feature, this.switches));
      const attributes = { role: "group", "aria-label": factor.label };
      const rows = [whole, ...parts];
      const root = element(
        "div",
        { class: "sheet-factor", attributes },
        rows.map((row) => row.root),
      );
      return { root, rows };
    });
    this.rows = groups.flatMap(({ rows }) => rows);
    this.root.replaceChildren(...groups.map(({ root }) => root));
  }
}
