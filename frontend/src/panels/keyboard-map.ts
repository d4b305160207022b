/** The dialog that lists the keys of the page. */

import { element } from "../dom";
import { Modal } from "./modal";
import type { ShortcutGroup } from "../shell/keyboard";

/** Builds the dialog inside `root`. */
export function keyboardMap(root: HTMLElement, groups: readonly ShortcutGroup[]): Modal {
  const look = {
    name: "keys",
    title: "Keyboard shortcuts",
    closeLabel: "Close keyboard shortcuts",
    class: "dialog dialog-keys",
  } as const;
  const map = new Modal(root, look, [
    element("div", { class: "key-groups" }, groups.map(section)),
  ]);
  map.dialog.addEventListener("keydown", (event) => {
    if (event.key !== "?") return;
    event.preventDefault(); // The page would open it again.
    map.close();
  });
  return map;
}

function section({ title, shortcuts }: ShortcutGroup): HTMLElement {
  const rows = shortcuts.map(({ shown, text }) => {
    const keys = shown.map((key) =>
      key === "…" ? element("span", { text: key }) : element("kbd", { text: key }),
    );
    return element("div", { class: "key-row" }, [
      element("dt", {}, keys),
      element("dd", { text }),
    ]);
  });
  return element("section", {}, [element("h3", { text: title }), element("dl", {}, rows)]);
}
