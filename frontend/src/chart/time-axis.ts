/** The time axis: where labels stand and how they read in a zone. */

import { createChartEx, defaultHorzScaleBehavior, TickMarkType } from "lightweight-charts";
import type {
  DeepPartial,
  IChartApiBase,
  IHorzScaleBehavior,
  Time,
  TimeChartOptions,
  UTCTimestamp,
} from "lightweight-charts";

import { formatClock, inZone } from "../i18n/format";
import { shownLanguage } from "../i18n/words";
import { UTC, type Zone } from "../i18n/zone";

type Behavior = IHorzScaleBehavior<Time>;
type Item = Parameters<Behavior["formatHorzItem"]>[0];
type Points = Parameters<Behavior["fillWeightsForPoints"]>[0];
type Weight = Points[number]["timeWeight"];

/** Weights of the library: a larger one keeps its label when there is less room. */
const YEAR = 70;
const MONTH = 60;
const DAY = 50;
const DAY_S = 86_400;
const LESS_THAN_SECOND = 0;
/** Seconds, and the weight of a point that begins a new stretch of so many; largest first. */
const STRETCHES: readonly (readonly [number, number])[] = [
  [43_200, 33],
  [21_600, 32],
  [10_800, 31],
  [3600, 30],
  [1800, 22],
  [300, 21],
  [60, 20],
  [1, 10],
];

/** The weight of a candle after another one; both as the zone's clocks show them, in seconds. */
export function weightOf(now: number, before: number): number {
  // Most candles begin no day, and need no calendar.
  if (Math.floor(now / DAY_S) !== Math.floor(before / DAY_S)) {
    const [date, former] = [new Date(now * 1000), new Date(before * 1000)];
    if (date.getUTCFullYear() !== former.getUTCFullYear()) return YEAR;
    return date.getUTCMonth() !== former.getUTCMonth() ? MONTH : DAY;
  }
  for (const [length, weight] of STRETCHES) {
    if (Math.floor(now / length) !== Math.floor(before / length)) return weight;
  }
  return LESS_THAN_SECOND;
}

/**
 * The axis counts seconds from here: up to 2038 they are numbers of 31 bits, which browsers keep and
 * compare without an object for each.
 */
const BEGINNING = 2 ** 30;

/** A time (UTC seconds) as the library has it in all of its rows, and at the crosshair. */
export function axisTime(time: number): UTCTimestamp {
  // A difference alone would be a number with an object, however small it is.
  return Math.trunc(time - BEGINNING) as UTCTimestamp;
}

/** The time that the library means, UTC seconds. */
export function timeOf(time: Time): number {
  return (time as number) + BEGINNING;
}

/**
 * The library weighs times by UTC; this weighs them by the clocks of a zone.
 *
 * The library's own axis makes objects of each time, which its data, its axis and its labels hold:
 * of a long history a tenth of all that is spent to show it. Here a time is a number, the same
 * everywhere in the library (`axisTime`).
 */
export class ZonedAxis extends defaultHorzScaleBehavior() {
  zone: Zone = UTC;

  override createConverterToInternalObj(): (time: Time) => Item {
    return itemOf;
  }

  override convertHorzItemToInternal(time: Time): Item {
    return itemOf(time);
  }

  override key(item: Item | Time): ReturnType<Behavior["key"]> {
    return item as unknown as ReturnType<Behavior["key"]>;
  }

  override cacheKey(item: Item): number {
    return item as unknown as number;
  }

  override fillWeightsForPoints(points: Points, startIndex: number): void {
    if (points.length === 0) return;
    const clock = (index: number): number => {
      const time = timeOf(points[index]?.originalTime as Time);
      return time + this.zone.offsetAt(time);
    };
    // The first candle is weighed as if another one came before it, at the usual distance.
    const usual = points.length < 2 ? 60 : (clock(points.length - 1) - clock(0)) / points.length;
    let before = startIndex === 0 ? clock(0) - Math.ceil(usual) : clock(startIndex - 1);
    for (let index = startIndex; index < points.length; index += 1) {
      const now = clock(index);
      (points[index] as { timeWeight: Weight }).timeWeight = weightOf(now, before) as Weight;
      before = now;
    }
  }
}

function itemOf(time: Time): Item {
  return time as unknown as Item;
}

/** A chart whose time axis follows a zone; the options have formatters for all its labels. */
export function createZonedChart(
  root: HTMLElement,
  axis: ZonedAxis,
  options: DeepPartial<TimeChartOptions>,
): IChartApiBase<Time> {
  return createChartEx<Time, Behavior>(root, axis, options);
}

const LOCALES = { en: "en-GB", "zh-CN": "zh-CN" } as const;

/** The label of a tick mark at `time` (UTC seconds). */
export function tickText(time: number, type: TickMarkType, zone: Zone): string {
  const named = (options: Intl.DateTimeFormatOptions): string =>
    inZone(time, zone).toLocaleDateString(LOCALES[shownLanguage()], { ...options, timeZone: "UTC" });
  switch (type) {
    case TickMarkType.Year:
      return named({ year: "numeric" });
    case TickMarkType.Month:
      return named({ month: "short" });
    case TickMarkType.DayOfMonth:
      return named({ day: "numeric", month: "short" });
    default:
      return formatClock(time, zone, type === TickMarkType.TimeWithSeconds);
  }
}
