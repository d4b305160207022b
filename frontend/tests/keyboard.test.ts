// @vitest-environment happy-dom
import { beforeEach, describe, expect, it } from "vitest";

import { keyboardMap } from "../src/panels/keyboard-map";
import { Keyboard } from "../src/shell/keyboard";
import { shortcutsOf, type KeyActions } from "../src/shell/shortcuts";
import { setLanguage } from "../src/i18n/words";

let done: string[];

const actions = new Proxy({} as KeyActions, {
  get: (_, name) => (value?: number) =>
    done.push(value === undefined ? String(name) : `${String(name)} ${value.toFixed(2)}`),
});

beforeEach(async () => {
  done = [];
  document.body.replaceChildren();
  await setLanguage("en");
});

/** Presses a key on a target; returns whether the page took it. */
function press(init: KeyboardEventInit, target: EventTarget = document.body): boolean {
  const keyboard = new Keyboard(shortcutsOf(actions));
  const event = new KeyboardEvent("keydown", { cancelable: true, bubbles: true, ...init });
  const handle = (): void => keyboard.handle(event);
  document.addEventListener("keydown", handle);
  target.dispatchEvent(event);
  document.removeEventListener("keydown", handle);
  return event.defaultPrevented;
}

function add<Tag extends keyof HTMLElementTagNameMap>(tag: Tag): HTMLElementTagNameMap[Tag] {
  const node = document.createElement(tag);
  document.body.append(node);
  return node;
}

describe("Keyboard", () => {
  it.each([
    [{ key: "ArrowLeft" }, "pan -10.00"],
    [{ key: "ArrowRight", shiftKey: true }, "pan 50.00"],
    [{ key: "+", shiftKey: true }, "zoom 1.20"],
    [{ key: "-" }, "zoom 0.83"],
    [{ key: "End" }, "toNewest"],
    [{ key: "3", code: "Digit3" }, "timeframe 2.00"],
    [{ key: ".", code: "Period" }, "stepTimeframe 1.00"],
    [{ key: "?", shiftKey: true }, "map"],
    [{ key: "V", shiftKey: true }, "toggleVolume"],
    [{ key: "!", code: "Digit1", shiftKey: true }, "toggleFactor 0.00"],
    // Where a digit needs Shift, and where the slash is on a digit.
    [{ key: "1", code: "Digit1", shiftKey: true }, "timeframe 0.00"],
    [{ key: "/", code: "Digit7", shiftKey: true }, "search"],
  ])("takes %j as %s", (init, action) => {
    expect([press(init), done]).toEqual([true, [action]]);
  });

  it("leaves Escape to the browser too, which closes popovers with it", () => {
    expect([press({ key: "Escape" }), done]).toEqual([false, ["close"]]);
  });

  it.each([["ctrlKey"], ["altKey"], ["metaKey"]])("leaves keys with %s alone", (modifier) => {
    expect([press({ key: "s", [modifier]: true }), done]).toEqual([false, []]);
  });

  it("leaves keys alone while the user is typing or choosing", () => {
    const search = Object.assign(add("input"), { type: "search" });
    for (const target of [search, add("textarea"), add("select")]) press({ key: "s" }, target);
    press({ key: "s", isComposing: true });
    expect(done).toEqual([]);
    press({ key: "s" }, Object.assign(add("input"), { type: "checkbox" }));
    expect(done).toEqual(["settings"]);
  });

  it("leaves keys alone that another part handled, or while a dialog is open", () => {
    const list = add("div");
    list.addEventListener("keydown", (event) => event.preventDefault());
    press({ key: "ArrowLeft" }, list);
    add("dialog").setAttribute("open", "");
    press({ key: "s" });
    expect(done).toEqual([]);
  });

  it("repeats movements of a held key, but no switch", () => {
    press({ key: "ArrowLeft", repeat: true });
    press({ key: "v", repeat: true });
    expect(done).toEqual(["pan -10.00"]);
  });
});

describe("the keyboard map", () => {
  const rows = (): (string | null)[] =>
    [...document.querySelectorAll(".key-row dd")].map((row) => row.textContent);

  it("lists every shortcut that is handled, with a key that runs it", () => {
    const groups = shortcutsOf(actions);
    keyboardMap(document.body, groups);
    const all = groups.flatMap(({ shortcuts }) => shortcuts);
    expect(rows()).toEqual(all.map(({ text }) => text));
    expect(new Set(all.flatMap(({ keys }) => keys)).size).toBe(
      all.reduce((count, { keys }) => count + keys.length, 0),
    );
  });

  it("is in the language of the page", async () => {
    await setLanguage("zh-CN");
    keyboardMap(document.body, shortcutsOf(actions));
    expect(rows()).toContain("开关成交量");
  });

  it("closes with the key that opened it", () => {
    const map = keyboardMap(document.body, shortcutsOf(actions));
    map.toggle();
    expect(map.dialog.open).toBe(true);
    press({ key: "?" }, map.dialog);
    expect([map.dialog.open, done]).toEqual([false, []]);
  });
});
