/** The connection indicator in the top bar and the figures at the bottom. */

import { t, type Text } from "../i18n/words";
import { closingText, connectionSign } from "../chart/connection-text";
import { element, setText } from "../dom";
import { formatDateTime, formatDuration } from "../i18n/format";
import { lagSeconds, lastClosedTime, type SeriesState } from "../sync/series-state";
import type { Zone } from "../i18n/zone";
import type { Lamp } from "../panels/lamps";

export class ConnectionSign {
  private readonly root: HTMLElement;
  private readonly label = element("span", { class: "connection-label" });

  constructor(root: HTMLElement) {
    this.root = root;
    root.append(
      element("span", { class: "dot", attributes: { "aria-hidden": "true" } }),
      this.label,
    );
  }

  render(state: SeriesState, nowMs: number): void {
    const sign = connectionSign(state, nowMs);
    this.root.dataset["tone"] = sign.tone;
    this.root.title = sign.explanation;
    setText(this.label, sign.label);
  }
}

export class StatusFacts {
  private readonly lag = fact(
    "Lag",
    "Seconds between the newest closed candle and the one expected by now",
  );
  private readonly last = fact("Last close", "When the newest closed candle closed");
  private readonly count = fact("Candles", "Closed candles loaded");
  private readonly gaps = fact("Gaps", "Holes in the loaded range");
  private readonly closing = fact("Closes in", "Time left until the open candle closes");

  constructor(root: HTMLElement) {
    root.append(
      ...[this.lag, this.last, this.closing, this.count, this.gaps].map((item) => item.root),
    );
  }

  /** Times are shown by the clocks of the zone. */
  render(state: SeriesState, nowMs: number, zone: Zone): void {
    const { seconds } = state.timeframe;
    const lag = lagSeconds(state, nowMs);
    const last = lastClosedTime(state);
    this.lag.show(lag === null ? null : formatDuration(lag));
    this.lag.root.dataset["tone"] =
      lag !== null && lag >= 2 * seconds && lag > 5 ? "warning" : "good";
    this.last.show(last === null ? null : formatDateTime(last + seconds, zone, seconds < 60));
    this.closing.show(closingText(state, nowMs));
    this.count.show(last === null ? null : state.candles.length.toLocaleString("en-US"));
    this.gaps.show(state.holes.length === 0 ? null : String(state.holes.length));
    this.gaps.root.dataset["tone"] = "warning";
  }
}

/** A coloured dot, a name and a label. */
export class LampSign {
  private readonly root: HTMLElement;
  private readonly name: string;
  private readonly label = element("span", { class: "lamp-label" });

  /** `name` is what the lamp shows the state of. */
  constructor(root: HTMLElement, name: string) {
    this.root = root;
    this.name = name;
    root.append(
      element("span", { class: "dot", attributes: { "aria-hidden": "true" } }),
      element("span", { class: "lamp-name", text: name }),
      this.label,
    );
  }

  /** Null hides it. */
  render(lamp: Lamp | null): void {
    this.root.hidden = lamp === null;
    if (lamp === null) return;
    this.root.dataset["state"] = lamp.state;
    this.root.dataset["tone"] = lamp.tone;
    this.root.title = `${this.name}: ${lamp.label}. ${lamp.explanation}`;
    setText(this.label, lamp.label);
  }
}

interface Fact {
  readonly root: HTMLElement;
  /** Null hides the figure. */
  show(text: string | null): void;
}

function fact(name: Text, explanation: Text): Fact {
  const value = element("span", { class: "fact-value" });
  const root = element(
    "span",
    {
      class: `fact fact-${name.toLowerCase().replace(" ", "-")}`,
      attributes: { title: t(explanation) },
    },
    [element("span", { class: "fact-name", text: t(name) }), value],
  );
  root.hidden = true;
  return {
    root,
    show(text) {
      root.hidden = text === null;
      setText(value, text ?? "");
    },
  };
}
