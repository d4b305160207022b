/** Runs what keys stand for; one table is both what is handled and what the map shows. */

export interface Shortcut {
  /** As `keysOf` names them; the first ones are those that the map shows. */
  readonly keys: readonly string[];
  /** What the map shows. */
  readonly shown: readonly string[];
  readonly text: string;
  /** Whether holding the key runs it again and again. */
  readonly repeats?: boolean;
  /** `key` is the one of `keys` that was pressed. */
  run(key: string): void;
}

export interface ShortcutGroup {
  readonly title: string;
  readonly shortcuts: readonly Shortcut[];
}

/**
 * The names of a pressed key, the one that counts first: the character or name, with `Shift+` before
 * names of more than a character; then `Shift+` and a digit, whatever character that types.
 */
export function keysOf({ key, code, shiftKey }: KeyboardEvent): string[] {
  const named = key.length > 1;
  const name = named ? key : key.toLowerCase();
  const digit = /^Digit([1-9])$/.exec(code)?.[1];
  const keys = [named && shiftKey ? `Shift+${name}` : name];
  return shiftKey && digit !== undefined ? [...keys, `Shift+${digit}`] : keys;
}

export class Keyboard {
  private readonly shortcuts = new Map<string, Shortcut>();

  constructor(groups: readonly ShortcutGroup[]) {
    for (const { shortcuts } of groups) {
      for (const shortcut of shortcuts) {
        for (const key of shortcut.keys) this.shortcuts.set(key, shortcut);
      }
    }
  }

  /** Handles a pressed key, unless another handler did, a dialog is open or the user is typing. */
  handle(event: KeyboardEvent): void {
    const { ctrlKey, altKey, metaKey, defaultPrevented, isComposing, target } = event;
    if (ctrlKey || altKey || metaKey || defaultPrevented || isComposing) return;
    if (isTyping(target) || document.querySelector("dialog[open]") !== null) return;
    const key = keysOf(event).find((each) => this.shortcuts.has(each));
    const shortcut = key === undefined ? undefined : this.shortcuts.get(key);
    if (key === undefined || shortcut === undefined) return;
    // With Escape the browser itself closes what it opened.
    if (key !== "Escape") event.preventDefault();
    if (!event.repeat || shortcut.repeats === true) shortcut.run(key);
  }
}

const WITHOUT_TEXT = new Set(["checkbox", "radio", "button", "range"]);

function isTyping(target: EventTarget | null): boolean {
  if (target instanceof HTMLInputElement) return !WITHOUT_TEXT.has(target.type);
  if (target instanceof HTMLSelectElement || target instanceof HTMLTextAreaElement) return true;
  return target instanceof HTMLElement && target.isContentEditable;
}
