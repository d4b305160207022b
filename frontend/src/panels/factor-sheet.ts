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
  private readonly rows: FeatureRow[] = [];

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
    if (features !== this.shown) this.add(features);
    const visibility = this.switches.visibility();
    for (const { feature, box } of this.rows) box.checked = isOn(visibility, feature.key);
  }

  /** Adds the features that are new: one that is pressed or has the focus stays. */
  private add(features: readonly Factor[]): void {
    for (const factor of features.slice(this.shown.length)) {
      const whole = featureRow(factor, this.switches);
      whole.root.classList.add("sheet-factor-whole");
      const parts = factor.subFeatures.map((feature) => featureRow(feature, this.switches));
      const rows = [whole, ...parts];
      const attributes = { role: "group", "aria-label": factor.label };
      const boxes = rows.map((row) => row.root);
      this.root.append(element("div", { class: "sheet-factor", attributes }, boxes));
      this.rows.push(...rows);
    }
    this.shown = features;
  }
}
