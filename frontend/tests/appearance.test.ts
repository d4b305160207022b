// @vitest-environment happy-dom
import { describe, expect, it } from "vitest";

import { followAppearance, shownTheme } from "../src/settings/appearance";
import { SettingsStore } from "../src/settings/settings";

class FakeSystem {
  matches = false;
  private listener: () => void = () => undefined;

  addEventListener(_: "change", listener: () => void): void {
    this.listener = listener;
  }

  set(light: boolean): void {
    this.matches = light;
    this.listener();
  }
}

describe("the appearance", () => {
  it.each([
    ["system", true, "light"],
    ["system", false, "dark"],
    ["dark", true, "dark"],
    ["light", false, "light"],
  ] as const)("of %s while the system is light: %s", (chosen, light, shown) => {
    expect(shownTheme(chosen, light)).toBe(shown);
  });

  it("follows the settings and the system", () => {
    const items = new Map<string, string>();
    const storage = {
      getItem: (key: string) => items.get(key) ?? null,
      setItem: (key: string, value: string) => void items.set(key, value),
    };
    const settings = new SettingsStore(() => storage);
    const system = new FakeSystem();
    const root = document.documentElement;
    let changes = 0;
    followAppearance(root, settings, system, () => (changes += 1));
    expect({ ...root.dataset }).toEqual({ theme: "dark", rising: "green" });
    system.set(true);
    settings.update({ redUp: true });
    expect({ ...root.dataset }).toEqual({ theme: "light", rising: "red" });
    settings.update({ theme: "dark" });
    settings.update({ zone: "UTC" });
    expect([root.dataset["theme"], changes]).toEqual(["dark", 3]);
  });
});
