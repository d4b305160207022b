/** The page's status: one sign for everything, and its details. Pure functions. */

import { closingText, type Sign } from "../chart/connection-text";
import { closeTimeOf } from "trade-canvas-client/timeframe";
import { formatCount, formatDateTime, formatDuration } from "../i18n/format";
import { t, type Text } from "../i18n/words";
import { lagSeconds, lastClosedTime, type SeriesState } from "trade-canvas-client/series-state";
import type { Zone } from "../i18n/zone";
import type { Lamps } from "../panels/health-lamps";
import type { Lamp } from "../panels/lamps";

export interface Overall {
  readonly tone: Sign["tone"];
  /** One or two words. */
  readonly word: string;
}

/** The worst of connection, candles, factors and drawings; that of the connection first. */
export function overallOf(connection: Sign, lamps: Lamps | null): Overall {
  const { tone, label } = connection;
  if (tone !== "good" || lamps === null) return { tone, word: label };
  const words: readonly (readonly [Lamp | null, Text, Text])[] = [
    [lamps.candles, "Delayed", "Backfilling"],
    [lamps.factors, "Factors late", "Computing"],
    [lamps.drawings, "Drawings late", "Drawing"],
  ];
  for (const [lamp, late, working] of words) {
    if (lamp === null || (lamp.tone !== "bad" && lamp.tone !== "warning")) continue;
    return { tone: lamp.tone, word: t(lamp.state === "rebuilding" ? working : late) };
  }
  return { tone, word: label };
}

export interface Fact {
  readonly name: Text;
  readonly explanation: Text;
  /** Null while it is not known. */
  readonly text: string | null;
  readonly warns: boolean;
}

/** Figures about the series; times are shown by the clocks of the zone. */
export function factsOf(state: SeriesState, nowMs: number, zone: Zone): readonly Fact[] {
  const { seconds } = state.timeframe;
  const lag = lagSeconds(state, nowMs);
  const last = lastClosedTime(state);
  return [
    {
      name: "Lag",
      explanation: "Seconds between the newest closed candle and the one expected by now",
      text: lag === null ? null : formatDuration(lag),
      warns: lag !== null && lag >= 2 * seconds && lag > 5,
    },
    {
      name: "Last close",
      explanation: "When the newest closed candle closed",
      text: last === null ? null : formatDateTime(closeTimeOf(state.timeframe, last), zone, seconds < 60),
      warns: false,
    },
    {
      name: "Closes in",
      explanation: "Time left until the open candle closes",
      text: closingText(state, nowMs),
      warns: false,
    },
    {
      name: "Loaded",
      explanation: "Closed candles loaded",
      text: last === null ? null : formatCount(state.candles.length),
      warns: false,
    },
    {
      name: "Gaps",
      explanation: "Holes in the loaded range",
      text: state.holes.length === 0 ? null : String(state.holes.length),
      warns: true,
    },
    {
      name: "Times",
      explanation: "The zone in which times are shown",
      text: zone.name.replaceAll("_", " "),
      warns: false,
    },
  ];
}
