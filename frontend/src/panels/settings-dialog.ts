/** The dialog of the page's settings: theme, candle colours, time zone. */

import { element } from "../dom";
import { localZone, zoneNames } from "../i18n/zone";
import type { Settings, SettingsStore, Theme } from "../settings/settings";

type Choice = readonly [value: string, text: string];

interface Field {
  readonly name: string;
  readonly label: string;
  readonly choices: readonly Choice[];
  readonly read: (settings: Settings) => string;
  readonly write: (value: string) => Partial<Settings>;
}

const FIELDS: readonly Field[] = [
  {
    name: "theme",
    label: "Theme",
    choices: [
      ["system", "As the system"],
      ["dark", "Dark"],
      ["light", "Light"],
    ],
    read: ({ theme }) => theme,
    write: (value) => ({ theme: value as Theme }),
  },
  {
    name: "rising",
    label: "Rising candles",
    choices: [
      ["green", "Green"],
      ["red", "Red"],
    ],
    read: ({ redUp }) => (redUp ? "red" : "green"),
    write: (value) => ({ redUp: value === "red" }),
  },
  {
    name: "zone",
    label: "Times",
    choices: [
      ["local", `Local (${localZone().name})`],
      ["exchange", "Exchange (UTC)"],
      ...zoneNames().map((name): Choice => [name, name.replaceAll("_", " ")]),
    ],
    read: ({ zone }) => zone,
    write: (value) => ({ zone: value }),
  },
];

export class SettingsDialog {
  private readonly dialog: HTMLDialogElement;

  /** Builds the dialog inside `root`; `opener` opens it. */
  constructor(root: HTMLElement, opener: HTMLElement, settings: SettingsStore) {
    const close = element("button", {
      class: "dialog-close",
      text: "✕",
      attributes: { type: "button", "aria-label": "Close settings" },
      onClick: () => this.dialog.close(),
    });
    const title = element("h2", { text: "Settings", attributes: { id: "settings-title" } });
    this.dialog = element(
      "dialog",
      { class: "dialog", attributes: { "aria-labelledby": "settings-title" } },
      [
        element("div", { class: "dialog-head" }, [title, close]),
        ...FIELDS.map((field) => control(field, settings)),
      ],
    );
    // A click beside the content is one on the dialog itself.
    this.dialog.addEventListener("click", ({ target }) => {
      if (target === this.dialog) this.dialog.close();
    });
    opener.addEventListener("click", () => this.dialog.showModal());
    root.append(this.dialog);
  }
}

function control(field: Field, settings: SettingsStore): HTMLElement {
  const select = element(
    "select",
    { class: "select", attributes: { name: field.name } },
    field.choices.map(([value, text]) => element("option", { text, attributes: { value } })),
  );
  const show = (): void => {
    select.value = field.read(settings.value);
  };
  select.addEventListener("change", () => settings.update(field.write(select.value)));
  settings.subscribe(show);
  show();
  return element("label", { class: "field" }, [
    element("span", { class: "field-label", text: field.label }),
    select,
  ]);
}
