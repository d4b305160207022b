/** The dialog of the page's settings: theme, candle colours, time zone, language. */

import { t } from "../i18n/words";
import { element } from "../dom";
import { Modal } from "./modal";
import { localZone, zoneNames } from "../i18n/zone";
import type { Language, Settings, SettingsStore, Theme } from "../settings/settings";

type Choice = readonly [value: string, text: string];

interface Field {
  readonly name: string;
  readonly label: string;
  readonly choices: readonly Choice[];
  readonly read: (settings: Settings) => string;
  readonly write: (value: string) => Partial<Settings>;
}

/** Built on each call: texts depend on the language. */
const FIELDS = (): readonly Field[] => [
  {
    name: "theme",
    label: t("Theme"),
    choices: [
      ["system", t("As the system")],
      ["dark", t("Dark")],
      ["light", t("Light")],
    ],
    read: ({ theme }) => theme,
    write: (value) => ({ theme: value as Theme }),
  },
  {
    name: "rising",
    label: t("Rising candles"),
    choices: [
      ["green", t("Green")],
      ["red", t("Red")],
    ],
    read: ({ redUp }) => (redUp ? "red" : "green"),
    write: (value) => ({ redUp: value === "red" }),
  },
  {
    name: "zone",
    label: t("Times"),
    choices: [
      ["local", t("Local ({zone})", { zone: localZone().name.replaceAll("_", " ") })],
      ["exchange", t("Exchange (UTC)")],
      ...zoneNames().map((name): Choice => [name, name.replaceAll("_", " ")]),
    ],
    read: ({ zone }) => zone,
    write: (value) => ({ zone: value }),
  },
  {
    name: "language",
    label: t("Language"),
    choices: [
      ["browser", t("Browser")],
      ["en", "English"],
      ["zh-CN", "简体中文"],
    ],
    read: ({ language }) => language,
    write: (value) => ({ language: value as Language }),
  },
];

/** Builds the dialog of the settings inside `root`. */
export function settingsDialog(root: HTMLElement, settings: SettingsStore): Modal {
  const look = {
    name: "settings",
    title: "Settings",
    closeLabel: "Close settings",
    class: "dialog",
  } as const;
  return new Modal(
    root,
    look,
    FIELDS().map((field) => control(field, settings)),
  );
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
