import { describe, expect, it } from "vitest";

import { DEFAULTS, SettingsStore, STORAGE_KEY } from "../src/settings/settings";

function storage(items: Record<string, string> = {}) {
  const kept = new Map(Object.entries(items));
  return {
    kept,
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, value: string) => void kept.set(key, value),
  };
}

describe("SettingsStore", () => {
  it("begins with the defaults", () => {
    expect(new SettingsStore(() => storage()).value).toEqual(DEFAULTS);
  });

  it("returns what was stored", () => {
    const kept = storage();
    new SettingsStore(() => kept).update({ zone: "Asia/Kolkata", features: { pivot: false } });
    const value = new SettingsStore(() => kept).value;
    expect([value.zone, value.features]).toEqual(["Asia/Kolkata", { pivot: false }]);
    expect(JSON.parse(kept.kept.get(STORAGE_KEY) ?? "")).toHaveProperty("version", 1);
  });

  it("reads what earlier releases stored", () => {
    const former = storage({
      "trade_canvas.factors": '{"pivot":false,"pen":"no"}',
      "trade_canvas.series": "sim:spot:A/B:1m",
    });
    const { features, series } = new SettingsStore(() => former).value;
    expect([features, series]).toEqual([{ pivot: false }, "sim:spot:A/B:1m"]);
  });

  it.each([
    ['{"theme":"pink","redUp":"yes","zone":5}'],
    ['{"version":9,"features":[true]}'],
    ["{"],
    ["null"],
    ["7"],
  ])("uses the defaults for what can't be read in %s", (text) => {
    const store = new SettingsStore(() => storage({ [STORAGE_KEY]: text }));
    expect({ ...store.value, features: {} }).toEqual(DEFAULTS);
  });

  it("notifies its subscribers until they end", () => {
    const store = new SettingsStore(() => storage());
    const themes: string[] = [];
    const end = store.subscribe((now, before) => themes.push(`${before.theme}>${now.theme}`));
    store.update({ theme: "light" });
    end();
    store.update({ theme: "dark" });
    expect(themes).toEqual(["system>light"]);
  });

  it("takes over the settings of another tab, but not its series", () => {
    const store = new SettingsStore(() => storage());
    store.update({ series: "sim:spot:A/B:1m" });
    store.adopt('{"theme":"dark","series":"sim:spot:C/D:1m"}');
    store.adopt(null);
    expect([store.value.theme, store.value.series]).toEqual(["dark", "sim:spot:A/B:1m"]);
  });

  it("keeps the layout, each tab its own, and reads only what it knows of one", () => {
    const kept = storage();
    const store = new SettingsStore(() => kept);
    store.update({ layout: { cells: "one", markets: false } });
    expect(new SettingsStore(() => kept).value.layout.markets).toBe(false);
    store.adopt('{"layout":{"markets":true}}');
    expect(store.value.layout.markets).toBe(false);
    const other = storage({ [STORAGE_KEY]: '{"layout":{"cells":"nine","markets":"no"}}' });
    expect(new SettingsStore(() => other).value.layout).toEqual(DEFAULTS.layout);
  });

  it("works without a storage", () => {
    const store = new SettingsStore(() => {
      throw new DOMException("denied", "SecurityError");
    });
    store.update({ redUp: true });
    expect(store.value.redUp).toBe(true);
  });
});
