import { afterEach, describe, expect, it } from "vitest";

import { languageFor, setLanguage, t } from "../src/i18n/words";

afterEach(() => setLanguage("en"));

describe("languageFor", () => {
  it.each([
    ["browser", ["zh-TW", "en"], "zh-CN"],
    ["browser", ["fr-FR", "zh-CN", "en"], "zh-CN"],
    ["browser", ["en-US", "zh-CN"], "en"],
    ["browser", ["de"], "en"],
    ["browser", [], "en"],
    ["en", ["zh-CN"], "en"],
    ["zh-CN", ["en"], "zh-CN"],
  ])("%s in a browser with %j is %s", (chosen, browser, shown) => {
    expect(languageFor(chosen, browser)).toBe(shown);
  });
});

describe("a text", () => {
  it("is English unless Chinese is chosen", async () => {
    expect(t("Live")).toBe("Live");
    await setLanguage("zh-CN");
    expect(t("Live")).toBe("实时");
  });

  it("has its values in both languages", async () => {
    expect(t("Next try in {seconds} s", { seconds: 3 })).toBe("Next try in 3 s");
    await setLanguage("zh-CN");
    expect(t("Next try in {seconds} s", { seconds: 3 })).toBe("3 秒后重试");
    expect(t("{candles} missing {range}", { candles: "2", range: "12:01" })).toBe("12:01 缺少 2");
  });
});
