import { afterEach, describe, expect, it } from "vitest";

import { inkOn } from "../src/drawings/ink";
import { Looks, NO_LOOKS, parseLook } from "../src/drawings/look";
import { setLanguage } from "../src/i18n/words";
import { looksOf, parseCatalog } from "../src/studies/factor-catalog";

const ANSWER = {
  factors: [
    {
      key: "mean",
      label: "Mean",
      sub_features: [
        { key: "mean.level", label: "Levels" },
        { key: "mean.plain", label: "Plain" },
      ],
    },
  ],
  features: {
    mean: { translations: { "zh-CN": { label: "均值" } } },
    "mean.level": {
      description: "A level",
      look: { width: 1, to_axis: true, fill_opacity: 0.2, area: ["top", "bottom"] },
      variants: { high: { name: "H", color: "down" } },
      translations: { "zh-CN": { label: "价位", description: "一个价位" } },
    },
  },
};

const looks = (): Looks => new Looks(looksOf(parseCatalog(ANSWER) ?? []));

afterEach(() => setLanguage("en"));

describe("looks", () => {
  it("come from the catalog", () => {
    const look = { width: 1, toAxis: true, fillOpacity: 0.2, area: ["top", "bottom"] };
    expect(looks().of("mean.level:low:1", "mean.level")).toEqual(look);
    expect(looks().of("mean.level:high:1", "mean.level")).toEqual({
      ...look,
      name: "H",
      color: "down",
    });
    expect(looks().of("mean.level:high", "mean.level").name).toBe("H");
    expect(looks().of("other:high", "mean.level").name).toBeUndefined();
  });

  it("are plain for what the catalog does not have", () => {
    expect(looks().of("mean.plain", "mean.plain")).toEqual({});
    expect(looks().of("new.one", "new.one")).toEqual({});
    expect(NO_LOOKS.words("new.one")).toEqual({ title: "new.one", description: "" });
  });

  it("have words in the language of the page", async () => {
    expect(looks().words("mean.level")).toMatchObject({
      title: "Mean · Levels",
      description: "A level",
    });
    await setLanguage("zh-CN");
    expect(looks().words("mean.level")).toMatchObject({
      title: "均值 · 价位",
      description: "一个价位",
    });
    expect(looks().words("mean.plain").title).toBe("均值 · Plain");
  });

  it("leave out what is malformed", () => {
    const broken = { width: "1", color: 3, halo: "yes", area: ["top"], layer: null, chained: true };
    expect(parseLook(broken)).toEqual({ chained: true });
    expect(parseLook(null)).toEqual({});
  });
});

describe("inks", () => {
  it("have a shade in each theme", () => {
    const ink = inkOn("#fff", "#000", { violet: "#7c3aed", up: "" });
    expect([ink("violet"), ink("up"), ink("#fefefe")]).toEqual(["#7c3aed", "up", "#000"]);
  });
});
