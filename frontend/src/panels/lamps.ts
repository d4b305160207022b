/** Texts and colours of the lamps, from health answers and drawings: pure functions. */

import { t, translated, type Text } from "../i18n/words";
import { formatDateTime, formatDuration } from "../i18n/format";
import type { Zone } from "../i18n/zone";
import type { ApiError } from "trade-canvas-client/http";
import type { Tone } from "../chart/connection-text";
import type { CandleHealth, DerivedState, FactorHealth } from "trade-canvas-client/health";
import type { Reading } from "../sync/health-watch";
import type { OlderStatus } from "../drawings/older-drawings";
import type { OverlayStatus } from "../drawings/overlay-session";

export type LampState = "ok" | "lagging" | "rebuilding" | "unknown";

export interface Lamp {
  readonly state: LampState;
  readonly tone: Tone | "off";
  readonly label: string;
  readonly explanation: string;
}

/** How current the server's candles are. */
export function candleLamp(reading: Reading<CandleHealth>, zone: Zone): Lamp {
  if (reading === null || "error" in reading) return unknownLamp(reading);
  const { health } = reading;
  const explain = explained(t("Newest stored candle {time}", { time: timeText(health.headTime, zone) }));
  const missing = t("missing {time}", { time: minutesText(health.missingSeconds) });
  if (health.isHalted) return explain("lagging", "warning", t("Halted"));
  if (health.status === "green") return explain("ok", "good", t("Latest"));
  if (health.headTime === null) return explain("lagging", "bad", t("No candles"));
  if (health.reason === "head_ahead_of_closed_window") {
    return explain("lagging", "warning", t("Ahead of the clock"));
  }
  if (health.status === "yellow") {
    return explain("rebuilding", "warning", `${backfillText(health)} · ${missing}`);
  }
  return explain("lagging", "bad", `${t("Delayed")} · ${missing}`);
}

type Look = readonly [LampState, Lamp["tone"], label: Text, explanation: Text];

const DERIVED: Readonly<Record<DerivedState, Look>> = {
  made: ["ok", "good", "Follows its base", "Made of the candles of {base}"],
  filling: ["rebuilding", "good", "Follows its base", "Older candles are still to be made of {base}"],
  incomplete: ["lagging", "warning", "Incomplete", "Candles of {base} are missing in its newest one"],
  base_late: ["lagging", "warning", "Base is late", "The newest candle of {base} is of {baseHead}"],
  behind: ["lagging", "bad", "Behind its base", "Made of the candles of {base} up to {madeTo} only"],
  not_made: ["unknown", "busy", "Waiting", "Nothing has been made of {base} yet"],
  not_derived: [
    "lagging",
    "bad",
    "Stopped",
    "No longer made by the server, which takes no other candles; made up to {madeTo}",
  ],
};

/** Whether a series that is made of another one follows that; null for any other series. */
export function derivedLamp(reading: Reading<CandleHealth>, zone: Zone): Lamp | null {
  if (reading === null || "error" in reading || reading.health.derived === null) return null;
  const { state, base, baseHead, madeTo } = reading.health.derived;
  const [look, tone, label, explanation] = DERIVED[state];
  const values = {
    base: base?.split(":").at(-1) ?? "",
    baseHead: timeText(baseHead, zone),
    madeTo: timeText(madeTo, zone),
  };
  return lamp(look, tone, t(label))(t(explanation, values));
}

export interface DrawingsState {
  readonly status: OverlayStatus;
  readonly older: OlderStatus;
  readonly reading: Reading<FactorHealth>;
}

type Unready = Exclude<OverlayStatus, "ready" | "off">;

const UNREADY: Readonly<Record<Unready, Look>> = {
  loading: ["unknown", "busy", "Reading", "The drawings are being read"],
  behind: ["rebuilding", "warning", "Rebuilding", "The server is computing the drawings"],
  empty: ["unknown", "busy", "Waiting", "There is nothing to draw yet"],
  error: ["unknown", "bad", "No answer", "The drawings can not be read; trying again"],
};

/** How current the server's factors are; null where it computes none. */
export function factorLamp(reading: Reading<FactorHealth>, zone: Zone): Lamp | null {
  if (reading === null) return unknownLamp(reading);
  if ("error" in reading) return reading.error.status === 404 ? null : unknownLamp(reading);
  const { storeHead, factorHead } = reading.health;
  const explain = explained(t("Computed up to {time}", { time: timeText(factorHead, zone) }));
  if (storeHead === null) return explain("unknown", "off", t("Unknown"));
  if (factorHead === null) return explain("rebuilding", "warning", t("Computing"));
  if (factorHead >= storeHead) return explain("ok", "good", t("Latest"));
  const time = minutesText(storeHead - factorHead);
  return explain("lagging", "warning", t("Behind {time}", { time }));
}

/** How current the drawings are; null where the server does not draw. */
export function drawingLamp(
  { status, older, reading }: DrawingsState,
  zone: Zone,
): Lamp | null {
  if (status === "off") return null;
  if (status !== "ready") {
    const [state, tone, label, explanation] = UNREADY[status];
    return lamp(state, tone, t(label))(t(explanation));
  }
  if (older === "failed") {
    const explanation = t("Drawings of the older candles in view can not be read; trying again");
    return lamp("lagging", "warning", t("Older missing"))(explanation);
  }
  if (reading === null || "error" in reading) return unknownLamp(reading);
  return healthLamp(reading.health, zone);
}

function healthLamp(health: FactorHealth, zone: Zone): Lamp {
  const { storeHead, factorHead, overlayHead } = health;
  const heads = {
    candles: timeText(storeHead, zone),
    factors: timeText(factorHead, zone),
    drawings: timeText(overlayHead, zone),
  };
  const explain = explained(
    t("Candles up to {candles}, factors up to {factors}, drawings up to {drawings}", heads),
  );
  if (health.status === "green") return explain("ok", "good", t("Latest"));
  if (health.status === "gray") return explain("unknown", "off", t("Unknown"));
  if (factorHead === null || overlayHead === null) {
    return explain("rebuilding", "warning", t("Computing"));
  }
  const tone = health.status === "yellow" ? "warning" : "bad";
  return explain("lagging", tone, t("Behind {time}", { time: minutesText(health.delaySeconds) }));
}

function unknownLamp(reading: { readonly error: ApiError } | null): Lamp {
  if (reading === null) return lamp("unknown", "off", t("Unknown"))(t("No answer yet"));
  const off = reading.error.status === 404;
  const explanation = off ? t("The server does not report this") : translated(reading.error.message);
  return lamp("unknown", "off", t("Unknown"))(explanation);
}

function lamp(
  state: LampState,
  tone: Lamp["tone"],
  label: string,
): (explanation: string) => Lamp {
  return (explanation) => ({ state, tone, label, explanation });
}

function explained(explanation: string): (...look: Parameters<typeof lamp>) => Lamp {
  return (...look) => lamp(...look)(explanation);
}

function backfillText({ backfillRunning, backfillPercent }: CandleHealth): string {
  if (!backfillRunning) return t("Backfilled");
  return backfillPercent === null
    ? t("Backfilling")
    : t("Backfilling {percent}%", { percent: Math.floor(backfillPercent) });
}

/** Rounded up to minutes. */
function minutesText(seconds: number | null): string {
  return seconds === null ? "?" : formatDuration(Math.ceil(seconds / 60) * 60);
}

function timeText(time: number | null, zone: Zone): string {
  return time === null ? t("none") : formatDateTime(time, zone);
}
