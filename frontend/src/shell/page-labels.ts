/** The texts of index.html in the language of the page. */

import { byId, setText } from "../dom";
import { shownLanguage, t, type Text } from "../i18n/words";

const LABELS: Readonly<Record<string, Text>> = {
  timeframes: "Timeframe",
  factors: "Factors",
  stage: "Chart",
  picker: "Markets",
  tools: "Tools",
  "timeframe-select": "Timeframe",
  "factors-button": "Factors",
  "keys-button": "Keyboard shortcuts",
  "settings-button": "Settings",
  "status-panel": "Status",
};

/** Writes the language and the labels; once, before the page is built. */
export function labelPage(): void {
  document.documentElement.lang = shownLanguage();
  for (const [id, text] of Object.entries(LABELS)) {
    const node = byId(id);
    node.setAttribute("aria-label", t(text));
    const name = node.querySelector(".tool-name");
    if (name === null) continue;
    setText(name, t(text));
    node.title = t(text);
  }
}
