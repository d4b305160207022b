/** The field of the market search: a combobox whose popup is the grid of markets. */

import { element } from "../dom";
import { t } from "../i18n/words";

/** Builds the field; `controls` is the id of the grid. */
export function searchField(controls: string): HTMLInputElement {
  return element("input", {
    class: "market-search",
    attributes: {
      type: "search",
      role: "combobox",
      "aria-expanded": "true",
      "aria-haspopup": "grid",
      "aria-autocomplete": "list",
      "aria-controls": controls,
      placeholder: t("Search markets"),
      "aria-label": t("Search markets"),
      autocomplete: "off",
      autocapitalize: "characters",
      enterkeyhint: "go",
      maxlength: "100",
      spellcheck: "false",
    },
  });
}
