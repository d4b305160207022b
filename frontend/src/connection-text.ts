/** What the page says about the connection, the wait and what is missing: pure words. */

import { formatClock, formatCountdown, formatDate, formatDuration } from "./format";
import { isRecovering, lagSeconds, type SeriesState } from "./series-state";
import { openTimeAt } from "./timeframe";
import type { Hole } from "./holes";

export type Tone = "good" | "busy" | "warning" | "bad";

export interface Sign {
  readonly tone: Tone;
  readonly label: string;
  readonly explanation: string;
}

/** Candles the series may be behind before the indicator turns to a warning. */
const TOLERATED_CANDLES = 2;

/** The connection indicator at `nowMs`. */
export function connectionSign(state: SeriesState, nowMs: number): Sign {
  switch (state.status) {
    case "loading":
      return { tone: "busy", label: "Loading", explanation: "Reading history" };
    case "backfilling":
      return { tone: "busy", label: "Catching up", explanation: "Reading up to the newest candle" };
    case "reconnecting":
      return { tone: "warning", label: "Reconnecting", explanation: failureText(state) };
    case "error":
      return { tone: "bad", label: "Error", explanation: failureText(state) };
    default:
      return followingSign(state, nowMs);
  }
}

function followingSign(state: SeriesState, nowMs: number): Sign {
  if (state.atCapacity) {
    return {
      tone: "warning",
      label: "Capacity reached",
      explanation: "The server follows as many series as it may; the page asks every few seconds",
    };
  }
  if (state.status === "empty") {
    return { tone: "busy", label: "Waiting", explanation: "Waiting for background sync" };
  }
  const lag = lagSeconds(state, nowMs) ?? 0;
  if (lag >= TOLERATED_CANDLES * state.timeframe.seconds && lag > 5) {
    return {
      tone: "warning",
      label: "Behind",
      explanation: `Newest candle is ${formatDuration(lag)} late`,
    };
  }
  if (state.stale) {
    return { tone: "warning", label: "Quiet", explanation: "Nothing heard for a while" };
  }
  return { tone: "good", label: "Live", explanation: "Following live" };
}

function failureText(state: SeriesState): string {
  return state.failure?.detail ?? "The connection was lost.";
}

/** "in 3 s", or "now" once the attempt is due. */
export function retryText(state: SeriesState, nowMs: number): string {
  if (state.retryAt === null) return "Trying now…";
  const seconds = Math.ceil((state.retryAt - nowMs) / 1000);
  return seconds > 0 ? `Next try in ${seconds} s` : "Trying now…";
}

/** Time left until the open candle closes; null when nothing is followed. */
export function closingText(state: SeriesState, nowMs: number): string | null {
  if (state.status !== "live" || state.timeframe.seconds < 10) return null;
  const now = (nowMs + state.clockOffsetMs) / 1000;
  return formatCountdown(openTimeAt(state.timeframe, now) + state.timeframe.seconds - now);
}

/** "3 candles missing 12:01–12:03", by local time. */
export function holeText(state: SeriesState, hole: Hole): string {
  const { seconds } = state.timeframe;
  const last = hole.to - seconds;
  const withSeconds = seconds < 60;
  const candles = hole.missing === 1 ? "1 candle" : `${hole.missing} candles`;
  const clock = (time: number): string => formatClock(time, withSeconds);
  const sameDay = formatDate(hole.from) === formatDate(last);
  const range =
    hole.missing === 1
      ? clock(hole.from)
      : sameDay
        ? `${clock(hole.from)}–${clock(last)}`
        : `${formatDate(hole.from)} ${clock(hole.from)} – ${formatDate(last)} ${clock(last)}`;
  return `${candles} missing ${range}${isRecovering(state, hole) ? ", recovering…" : ""}`;
}
