/** The texts of index.html in the language of the page. */

import { byId, setText } from "../dom";
import { shownLanguage, t, type Text } from "../i18n/words";

const LABELS: Readonly<Record<string, Text>> = {
  timeframes: "Timeframe",
  factors: "Factors",
  stage: "Chart",
  picker: "Markets",
};

/** Writes the language and the labels; once, before the page is built. */
export function labelPage(): void {
  document.documentElement.lang = shownLanguage();
  for (const [id, text] of Object.entries(LABELS)) byId(id).setAttribute("aria-label", t(text));
  setText(byId("settings-button"), t("Settings"));
}
