/**
 * Candles whose length changes: months, and days and weeks of a time zone, by the dates of the zone
 * as the browser or Node.js knows them. The server's candles do not depend on it, only what is
 * computed around them: when the open candle closes, and what is missing.
 */

const DAY_S = 86_400;
const YEAR_S = 365 * DAY_S;
/** Rules that hold from then on are in force before it. */
const RULES_UNTIL = 2 ** 31;
// 1970-01-01 was a Thursday.
const FIRST_MONDAY = 4;
const MONTHS_OF_A_YEAR = 12;
/** Offsets from UTC lie within it, and with them the beginning of a date around its midnight. */
const FARTHEST_S = 16 * 3600;
/** The most that clocks are turned back: a day may be so much longer. The server counts alike. */
const LONGEST_TURN_S = 3 * 3600;
/** The most days that so many months in a row have; other numbers do not divide a year. */
const MONTH_DAYS: Readonly<Record<number, number>> = { 1: 31, 2: 62, 3: 92, 4: 123, 6: 184, 12: 366 };

export interface Calendar {
  /** An IANA name; null for UTC. */
  readonly zone: string | null;
  readonly isMonthly: boolean;
  /** The seconds of the longest candle. */
  readonly longest: number;
  /** The number of the candle that covers a time (UTC seconds); the next one has the next number. */
  numberOf(time: number): number;
  /** The open time of the candle with a number. */
  openOf(number: number): number;
  /** How many candles after the one that covers a time the one that covers another is. */
  steps(from: number, to: number): number;
}

/** Null where there are no such candles; throws RangeError for a zone that is not known. */
export function calendarOf(count: number, unit: string, zone: string | null): Calendar | null {
  const isMonthly = unit === "M";
  const days = isMonthly ? MONTH_DAYS[count] : count * (unit === "w" ? 7 : unit === "d" ? 1 : NaN);
  if (days === undefined || !(days > 0 && days <= 366)) return null;
  const dates = datesOf(zone);
  const origin = unit === "w" ? FIRST_MONDAY : 0;
  const firstDay = (number: number): number =>
    isMonthly ? monthStart(number * count) : number * days + origin;
  const numberOf = (time: number): number => {
    const day = dates.dayOf(time);
    return isMonthly ? Math.floor(monthOf(day) / count) : Math.floor((day - origin) / days);
  };
  return {
    zone,
    isMonthly,
    longest: days * DAY_S + (zone === null ? 0 : LONGEST_TURN_S),
    numberOf,
    steps: (from, to) => {
      const [first, last] = [numberOf(from), numberOf(to)];
      if (isMonthly || days > 1) return last - first;
      // A date that was left out has a number, and no candle.
      const [low, high] = [Math.min(first, last), Math.max(first, last)];
      const empty = dates.leftOut().filter((day) => low < day && day < high).length;
      return last - first - Math.sign(last - first) * empty;
    },
    openOf: (number) => dates.startOf(firstDay(number)),
  };
}

/** Months since January 1970 of a day since 1970-01-01, and the first day of such a month. */
function monthOf(day: number): number {
  const date = new Date(day * DAY_S * 1000);
  return (date.getUTCFullYear() - 1970) * MONTHS_OF_A_YEAR + date.getUTCMonth();
}

function monthStart(month: number): number {
  return Date.UTC(1970, month, 1) / 1000 / DAY_S;
}

/** The dates of a zone, as days since 1970-01-01, and when its clocks first show one. */
interface Dates {
  dayOf(time: number): number;
  startOf(day: number): number;
  /** The dates that its clocks have never shown since 1970, ascending. */
  leftOut(): readonly number[];
}

const known = new Map<string | null, Dates>();

function datesOf(zone: string | null): Dates {
  let dates = known.get(zone);
  if (dates === undefined) {
    const offsetAt = zone === null ? () => 0 : zoneOffset(zone);
    const dayOf = (time: number): number => Math.floor((time + offsetAt(time)) / DAY_S);
    let empty: readonly number[] | undefined;
    const leftOut = (): readonly number[] => (empty ??= leftOutBy(offsetAt, dayOf));
    dates = { dayOf, startOf: (day) => startIn(dayOf, day), leftOut };
    known.set(zone, dates);
  }
  return dates;
}

function startIn(dayOf: (time: number) => number, day: number): number {
  let [before, begin] = [day * DAY_S - FARTHEST_S, day * DAY_S + FARTHEST_S];
  while (begin - before > 1) {
    const middle = Math.floor((before + begin) / 2);
    if (dayOf(middle) < day) before = middle;
    else begin = middle;
  }
  return begin;
}

/** A place that moves across the date line leaves a date out: Samoa the 30th of December 2011. */
function leftOutBy(offsetAt: (time: number) => number, dayOf: (time: number) => number): number[] {
  const found: number[] = [];
  for (let start = 0; start < RULES_UNTIL; start += YEAR_S) {
    let [before, after] = [start, start + YEAR_S];
    const turned = offsetAt(before) + DAY_S / 2;
    if (offsetAt(after) <= turned) continue;
    while (after - before > 1) {
      const middle = Math.floor((before + after) / 2);
      if (offsetAt(middle) > turned) after = middle;
      else before = middle;
    }
    for (let day = dayOf(before) + 1; day < dayOf(after); day += 1) found.push(day);
  }
  return found;
}

/** How many seconds the clocks of a zone are ahead of UTC at a time. Throws RangeError. */
function zoneOffset(timeZone: string): (time: number) => number {
  // In Swedish times are written as in ISO 8601.
  const format = new Intl.DateTimeFormat("sv", { timeZone, dateStyle: "short", timeStyle: "medium" });
  return (time) => Date.parse(`${format.format(time * 1000).replace(" ", "T")}Z`) / 1000 - Math.floor(time);
}
