/**
 * The page's texts. The English text is the key; a text without a Chinese one does not compile.
 *
 * Words in braces are replaced: `t("Next try in {seconds} s", { seconds: 3 })`.
 */

import type { CHINESE } from "./chinese";

export type Text = keyof typeof CHINESE;
export type ShownLanguage = "en" | "zh-CN";

let translations: Readonly<Record<Text, string>> | null = null;

/** The language to show: the chosen one, else the browser's if the page has it, else English. */
export function languageFor(chosen: string, browser: readonly string[]): ShownLanguage {
  if (chosen === "en" || chosen === "zh-CN") return chosen;
  const first = browser.find((tag) => /^(en|zh)\b/i.test(tag));
  return first !== undefined && /^zh\b/i.test(first) ? "zh-CN" : "en";
}

/** Shows all texts in this language from now on; in English if its texts can't be loaded. */
export async function setLanguage(language: ShownLanguage): Promise<void> {
  translations = null;
  if (language === "en") return;
  translations = await import("./chinese").then(
    ({ CHINESE }) => CHINESE,
    () => null,
  );
}

export function shownLanguage(): ShownLanguage {
  return translations === null ? "en" : "zh-CN";
}

/** A text in the language of the page. */
export function t(text: Text, values: Readonly<Record<string, string | number>> = {}): string {
  const words = translations?.[text] ?? text;
  return words.replace(/\{(\w+)\}/g, (braced, name: string) => String(values[name] ?? braced));
}

/** Where a series is traded, as users read it. */
export function placeName({ exchange, market }: { exchange: string; market: string }): string {
  const names: Readonly<Record<string, string>> = { spot: t("Spot"), futures: t("Futures") };
  return `${exchange} ${names[market] ?? market}`;
}

/** The explanation of a failure in the language of the page; the server's own are in it already. */
export function translated(detail: string): string {
  return translations?.[detail as Text] ?? detail;
}
