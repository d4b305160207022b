/** What the market panel shows without a search: markets, favourites, or one of the user's lists. */

import { t } from "../i18n/words";
import { element, keepChildren } from "../dom";
import { LONGEST_NAME, MOST_LISTS, renamed, withList, withoutList } from "../settings/symbol-lists";
import type { SettingsStore } from "../settings/settings";
import type { SymbolList } from "../settings/symbol-lists";

/** The id of a list, or one of these two. */
export type View = "markets" | "favourites" | string;

/** The name that is being written: of a new list, with its first symbols, or of another one. */
type Draft = { readonly symbols: readonly string[] } | { readonly renames: SymbolList };

export class ListBar {
  readonly root = element("div", { class: "list-bar" });
  private readonly views = element("div", { class: "views", attributes: { role: "group" } });
  private readonly settings: SettingsStore;
  private readonly changed: () => void;
  private chosen: View = "markets";
  private draft: Draft | null = null;
  private deleting = false;

  /** `changed` is called when another view is chosen, and when a name is being written or not. */
  constructor(settings: SettingsStore, changed: () => void) {
    this.settings = settings;
    this.changed = changed;
    this.views.setAttribute("aria-label", t("Lists"));
    this.root.append(this.views);
    this.render();
    settings.subscribe((now, before) => {
      if (now.lists !== before.lists) this.choose(this.view);
    });
  }

  get view(): View {
    const exists = this.lists.some(({ id }) => id === this.chosen);
    return exists || this.chosen === "favourites" ? this.chosen : "markets";
  }

  /** Whether a name is being written. */
  get isWriting(): boolean {
    return this.draft !== null;
  }

  /** Asks for the name of a new list with these symbols. */
  begin(symbols: readonly string[]): void {
    this.write({ symbols });
  }

  private get lists(): readonly SymbolList[] {
    return this.settings.value.lists;
  }

  private choose(view: View): void {
    this.chosen = view;
    this.deleting = false;
    this.draft = null;
    this.render();
    this.changed();
  }

  private write(draft: Draft | null): void {
    this.draft = draft;
    this.deleting = false;
    this.render();
    this.changed();
    this.root.querySelector("input")?.focus();
  }

  private render(): void {
    const { view } = this;
    const hadFocus = this.root.contains(document.activeElement);
    const tabs = [
      this.tab("markets", t("Markets")),
      this.tab("favourites", t("★ Favourites")),
      ...this.lists.map(({ id, name }) => this.tab(id, name)),
    ];
    if (this.lists.length < MOST_LISTS) tabs.push(this.tool("+", t("New list"), () => this.begin([])));
    keepChildren(this.views, tabs, (tab) => (tab as HTMLElement).dataset["view"] ?? "");
    const list = this.lists.find(({ id }) => id === view);
    const second = this.draft !== null ? [this.form(this.draft)] : list ? [this.tools(list)] : [];
    while (this.views.nextSibling !== null) this.views.nextSibling.remove();
    this.root.append(...second);
    const chosen = this.views.querySelector<HTMLElement>('[aria-pressed="true"]');
    chosen?.scrollIntoView?.({ block: "nearest", inline: "nearest" });
    if (hadFocus && !this.root.contains(document.activeElement)) chosen?.focus();
  }

  private tab(view: View, text: string): HTMLButtonElement {
    const attributes = {
      type: "button",
      "data-view": view,
      "aria-pressed": String(view === this.view),
    };
    return element("button", { class: "chip", text, attributes, onClick: () => this.choose(view) });
  }

  private tool(text: string, label: string, onClick: () => void): HTMLButtonElement {
    const attributes = { type: "button", "aria-label": label, title: label };
    return element("button", { class: "chip", text, attributes, onClick });
  }

  private tools(list: SymbolList): HTMLElement {
    const remove = this.deleting
      ? this.tool(t("Delete this list?"), t("Delete this list?"), () => this.remove(list))
      : this.tool(t("Delete"), t("Delete {name}", { name: list.name }), () => {
          this.deleting = true;
          this.render();
          this.root.querySelector<HTMLElement>(".list-delete")?.focus();
        });
    remove.classList.add("list-delete");
    const label = t("Rename {name}", { name: list.name });
    return element("div", { class: "list-tools" }, [
      this.tool(t("Rename"), label, () => this.write({ renames: list })),
      remove,
    ]);
  }

  private form(draft: Draft): HTMLElement {
    const name = element("input", {
      class: "list-name",
      attributes: {
        type: "text",
        maxlength: String(LONGEST_NAME),
        placeholder: t("Name of the list"),
        "aria-label": t("Name of the list"),
        autocomplete: "off",
      },
    });
    name.value = "renames" in draft ? draft.renames.name : "";
    const save = element("button", { class: "chip", text: t("Save"), attributes: { type: "submit" } });
    const cancel = this.tool(t("Cancel"), t("Cancel"), () => this.write(null));
    const form = element("form", { class: "list-tools" }, [name, save, cancel]);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.save(draft, name.value);
    });
    form.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      // The panel stays open.
      event.stopPropagation();
      this.write(null);
    });
    return form;
  }

  private save(draft: Draft, name: string): void {
    const renames = "renames" in draft ? draft.renames : null;
    const lists =
      renames === null
        ? withList(this.lists, name, "symbols" in draft ? draft.symbols : [])
        : renamed(this.lists, renames.id, name);
    if (lists === null) return;
    this.draft = null;
    this.chosen = renames?.id ?? (lists.at(-1) as SymbolList).id;
    this.settings.update({ lists });
  }

  private remove(list: SymbolList): void {
    this.settings.update({ lists: withoutList(this.lists, list.id) });
  }
}
