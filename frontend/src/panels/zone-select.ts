/** Chooses the zone in which intraday times are shown. */

import { element } from "../dom";
import { localZone, zoneNames } from "../i18n/zone";
import type { SettingsStore } from "../settings/settings";

export class ZoneSelect {
  /** Builds the control inside `root`. */
  constructor(root: HTMLElement, settings: SettingsStore) {
    const select = element("select", {
      class: "zone-select",
      attributes: { "aria-label": "Time zone" },
    });
    const choices: readonly (readonly [string, string])[] = [
      ["local", `Local (${localZone().name})`],
      ["exchange", "Exchange (UTC)"],
      ...zoneNames().map((name) => [name, name.replaceAll("_", " ")] as const),
    ];
    select.append(
      ...choices.map(([value, text]) => element("option", { text, attributes: { value } })),
    );
    const show = (): void => {
      select.value = settings.value.zone;
    };
    select.addEventListener("change", () => settings.update({ zone: select.value }));
    settings.subscribe(show);
    show();
    root.append(select);
  }
}
