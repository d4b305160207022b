/** A row with the switch of a feature, and how many of its drawings are on the chart. */

import { element, setText } from "../dom";
import { t } from "../i18n/words";
import type { Feature } from "../studies/factor-catalog";
import type { Choice } from "../studies/factor-visibility";

export interface FeatureRow {
  readonly feature: Feature;
  readonly root: HTMLElement;
  readonly box: HTMLInputElement;
  /** Shows how many drawings of the feature are on the chart; nothing for an unknown feature. */
  count(drawn: Readonly<Record<string, readonly string[]>>): void;
}

export function featureRow(
  feature: Feature,
  switches: { choose(choice: Choice): void },
): FeatureRow {
  const { key, label } = feature;
  const box = element("input", { attributes: { type: "checkbox", "data-feature": key } });
  box.addEventListener("change", () => switches.choose({ key, on: box.checked }));
  const figure = element("span", {
    class: "factor-count",
    attributes: { "aria-hidden": "true", title: t("On the chart now") },
  });
  const root = element("label", { class: "factor-feature" }, [
    box,
    element("span", { class: "factor-feature-name", text: label }),
    figure,
  ]);
  return {
    feature,
    root,
    box,
    count: (drawn) => setText(figure, String(drawn[key]?.length ?? 0)),
  };
}
