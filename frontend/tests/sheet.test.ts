// @vitest-environment happy-dom
import { beforeEach, describe, expect, it } from "vitest";

import { FactorSheet } from "../src/panels/factor-sheet";
import { Sheet } from "../src/panels/sheet";
import { SettingsStore } from "../src/settings/settings";
import { FeatureSwitches } from "../src/studies/feature-switches";

const LOOK = { name: "sheet", title: "Factors", closeLabel: "Close factors" } as const;
let sheet: Sheet;

beforeEach(() => {
  document.body.replaceChildren();
  window.localStorage.clear();
  sheet = new Sheet(document.body, LOOK, []);
  sheet.head.setPointerCapture = () => undefined;
  sheet.toggle();
});

function point(type: string, clientY: number, timeStamp: number, target: Element = sheet.head): void {
  const event = new PointerEvent(type, { clientY, pointerId: 1, bubbles: true });
  Object.defineProperty(event, "timeStamp", { value: timeStamp });
  target.dispatchEvent(event);
}

function swipe(distance: number, ms: number): void {
  point("pointerdown", 100, 0);
  point("pointermove", 100 + distance, ms);
  point("pointerup", 100 + distance, ms);
}

describe("Sheet", () => {
  it("is a modal dialog with a name", () => {
    const { dialog } = sheet;
    expect([dialog.open, dialog.getAttribute("aria-modal")]).toEqual([true, "true"]);
    const title = document.getElementById(dialog.getAttribute("aria-labelledby") ?? "");
    expect(title?.textContent).toBe("Factors");
  });

  it.each([
    ["far down", 120, 2000, false],
    ["fast down", 40, 50, false],
    ["a little", 40, 1000, true],
    ["up", -200, 50, true],
  ])("after a swipe %s", (_, distance, ms, open) => {
    swipe(distance, ms);
    expect([sheet.dialog.open, sheet.dialog.style.translate]).toEqual([open, ""]);
  });

  it("follows the finger, but not above its place", () => {
    point("pointerdown", 100, 0);
    point("pointermove", 130, 500);
    expect(sheet.dialog.style.translate).toBe("0 30px");
    point("pointermove", 60, 800);
    expect(sheet.dialog.style.translate).toBe("0 0px");
    point("pointercancel", 60, 900);
    expect([sheet.dialog.open, sheet.dialog.style.translate]).toEqual([true, ""]);
  });

  it("closes by its button, and by a click beside it", () => {
    sheet.dialog.querySelector<HTMLElement>(".dialog-close")?.click();
    expect(sheet.dialog.open).toBe(false);
    sheet.toggle();
    sheet.head.click();
    expect(sheet.dialog.open).toBe(true);
    sheet.dialog.click();
    expect(sheet.dialog.open).toBe(false);
  });
});

describe("FactorSheet", () => {
  const feature = (key: string, label: string) => ({ key, label, defaultVisible: true });
  const box = (list: FactorSheet, key: string): HTMLInputElement =>
    list.root.querySelector(`[data-feature="${key}"]`) as HTMLInputElement;

  it("switches factors and their parts, as the row of chips does", () => {
    const switches = new FeatureSwitches(new SettingsStore(() => window.localStorage));
    const list = new FactorSheet(switches);
    document.body.append(list.root);
    switches.declare([{ ...feature("pen", "Pen"), subFeatures: [feature("pen.done", "Done")] }]);
    expect([box(list, "pen").checked, box(list, "pen.done").checked]).toEqual([true, true]);
    box(list, "pen.done").click();
    expect(switches.visibility().get("pen.done")).toBe(false);
    switches.choose({ key: "pen", on: false });
    expect(box(list, "pen").checked).toBe(false);
    list.count({ "pen.done": ["a", "b"] });
    expect(box(list, "pen.done").parentElement?.textContent).toBe("Done2");
  });
});
