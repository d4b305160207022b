/** Texts about the connection, the next retry and missing candles: pure functions. */

import { CONNECTION_LOST } from "trade-canvas-client/explanations";
import { t, translated } from "../i18n/words";
import {
  formatClock,
  formatCountdown,
  formatDate,
  formatDuration,
  formatOpenTime,
} from "../i18n/format";
import type { Zone } from "../i18n/zone";
import {
  isRecovering,
  lagSeconds,
  lastClosedTime,
  type SeriesState,
} from "trade-canvas-client/series-state";
import { closeTimeOf, movedTime, openTimeAt } from "trade-canvas-client/timeframe";
import type { Hole } from "trade-canvas-client/holes";

export type Tone = "good" | "busy" | "warning" | "bad";

export interface Sign {
  readonly tone: Tone;
  readonly label: string;
  readonly explanation: string;
}

/** How many candles the series may be behind before the indicator warns. */
const TOLERATED_CANDLES = 2;
const DAY_S = 86_400;

/** The connection indicator at `nowMs`. */
export function connectionSign(state: SeriesState, nowMs: number): Sign {
  switch (state.status) {
    case "loading":
      return { tone: "busy", label: t("Loading"), explanation: t("Reading history") };
    case "backfilling":
      return {
        tone: "busy",
        label: t("Catching up"),
        explanation: t("Reading up to the newest candle"),
      };
    case "reconnecting":
      return { tone: "warning", label: t("Reconnecting"), explanation: failureText(state) };
    case "error":
      return { tone: "bad", label: t("Error"), explanation: failureText(state) };
    default:
      return followingSign(state, nowMs);
  }
}

/** Whether what is shown is as new as it can be. */
export function isFresh(state: SeriesState, nowMs: number): boolean {
  return connectionSign(state, nowMs).tone === "good";
}

function followingSign(state: SeriesState, nowMs: number): Sign {
  if (state.halted) {
    return {
      tone: "warning",
      label: t("Halted"),
      explanation: t("The exchange has halted or delisted this market: no new candles come."),
    };
  }
  if (state.atCapacity) {
    return {
      tone: "warning",
      label: t("Capacity reached"),
      explanation: t(
        "The server follows its maximum of series; the page polls every few seconds",
      ),
    };
  }
  if (state.status === "empty") {
    return { tone: "busy", label: t("Waiting"), explanation: t("Waiting for background sync") };
  }
  const lag = lagSeconds(state, nowMs) ?? 0;
  if (lag >= TOLERATED_CANDLES * state.timeframe.seconds && lag > 5) {
    return {
      tone: "warning",
      label: t("Behind"),
      explanation: t("Newest candle is {time} late", { time: formatDuration(lag) }),
    };
  }
  if (state.stale) {
    return { tone: "warning", label: t("Quiet"), explanation: t("No message for a while") };
  }
  return { tone: "good", label: t("Live"), explanation: t("Following live") };
}

function failureText(state: SeriesState): string {
  return translated(state.failure?.detail ?? CONNECTION_LOST);
}

/** "Next try in 3 s", or "Trying now…" once the attempt is due. */
export function retryText(state: SeriesState, nowMs: number): string {
  if (state.retryAt === null) return t("Trying now…");
  const seconds = Math.ceil((state.retryAt - nowMs) / 1000);
  return seconds > 0 ? t("Next try in {seconds} s", { seconds }) : t("Trying now…");
}

/** Time left until the open candle closes; null unless the series is live. */
export function closingText(state: SeriesState, nowMs: number): string | null {
  if (state.status !== "live" || state.halted || state.timeframe.seconds < 10) return null;
  const now = (nowMs + state.clockOffsetMs) / 1000;
  return formatCountdown(closeTimeOf(state.timeframe, openTimeAt(state.timeframe, now)) - now);
}

/**
 * "3 candles missing 12:01–12:03", by the clocks of the zone, with the date where it is not that of
 * the newest candle; of days without a clock.
 */
export function holeText(state: SeriesState, hole: Hole, zone: Zone): string {
  const { seconds } = state.timeframe;
  const last = movedTime(state.timeframe, hole.to, -1);
  const candles = hole.missing === 1 ? t("1 candle") : t("{count} candles", { count: hole.missing });
  const clock = (time: number): string => formatClock(time, zone, seconds < 60);
  const date = (time: number): string => formatDate(time, zone);
  const dated = (time: number): string => formatOpenTime(time, zone, state.timeframe);
  const newest = lastClosedTime(state);
  const isToday = newest !== null && date(hole.from) === date(newest) && seconds < DAY_S;
  const first = isToday ? clock(hole.from) : dated(hole.from);
  const end = seconds < DAY_S && date(hole.from) === date(last) ? `–${clock(last)}` : ` – ${dated(last)}`;
  const range = hole.missing === 1 ? first : first + end;
  return isRecovering(state, hole)
    ? t("{candles} missing {range}, recovering…", { candles, range })
    : t("{candles} missing {range}", { candles, range });
}
