/** The connection indicator in the top bar and the figures at the bottom. */

import { closingText, connectionSign } from "./connection-text";
import { element, setText } from "./dom";
import { formatDateTime, formatDuration } from "./format";
import { lagSeconds, lastClosedTime, type SeriesState } from "./series-state";
import type { OverlayStatus } from "./overlay-session";

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

  render(state: SeriesState, nowMs: number): void {
    const { seconds } = state.timeframe;
    const lag = lagSeconds(state, nowMs);
    const last = lastClosedTime(state);
    this.lag.show(lag === null ? null : formatDuration(lag));
    this.lag.root.dataset["tone"] =
      lag !== null && lag >= 2 * seconds && lag > 5 ? "warning" : "good";
    this.last.show(last === null ? null : formatDateTime(last + seconds, seconds < 60));
    this.closing.show(closingText(state, nowMs));
    this.count.show(last === null ? null : state.candles.length.toLocaleString("en-US"));
    this.gaps.show(state.holes.length === 0 ? null : String(state.holes.length));
    this.gaps.root.dataset["tone"] = "warning";
  }
}

type Sign = readonly [tone: string, label: string, explanation: string];

const OVERLAY_SIGNS: Readonly<Record<OverlayStatus, Sign>> = {
  loading: ["busy", "Reading", "The drawings are being read"],
  ready: ["good", "Drawn", "The drawings are those of the newest closed candle"],
  behind: ["warning", "Behind", "The server is still computing the drawings"],
  empty: ["busy", "Waiting", "There is nothing to draw yet"],
  error: ["bad", "No answer", "The drawings can not be read; trying again"],
  off: ["off", "", ""],
};

/** How the drawings stand, at the end of the row of factors. */
export class OverlaySign {
  private readonly root: HTMLElement;
  private readonly label = element("span");

  constructor(root: HTMLElement) {
    this.root = root;
    root.append(
      element("span", { class: "dot", attributes: { "aria-hidden": "true" } }),
      this.label,
    );
  }

  render(status: OverlayStatus): void {
    const [tone, label, explanation] = OVERLAY_SIGNS[status];
    this.root.dataset["tone"] = tone;
    this.root.title = explanation;
    this.root.hidden = status === "off";
    setText(this.label, label);
  }
}

interface Fact {
  readonly root: HTMLElement;
  /** Null hides the figure. */
  show(text: string | null): void;
}

function fact(name: string, explanation: string): Fact {
  const value = element("span", { class: "fact-value" });
  const root = element(
    "span",
    {
      class: `fact fact-${name.toLowerCase().replace(" ", "-")}`,
      attributes: { title: explanation },
    },
    [element("span", { class: "fact-name", text: name }), value],
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
