/** Time zones: how far a zone is from UTC at a moment, and the zone that a series is shown in. */

import type { Timeframe } from "trade-canvas-client/timeframe";

export interface Zone {
  /** As the user reads it: `UTC`, or an IANA name. */
  readonly name: string;
  /** Seconds that clocks of the zone are ahead of UTC at `time` (UTC seconds). */
  offsetAt(time: number): number;
}

const DAY = 86_400;
/** Days whose offsets are kept; a chart shows some thousands at most. */
const MOST_DAYS = 50_000;

/** Browsers list some zones under names that the IANA database has replaced. */
const MODERN: Readonly<Record<string, string>> = {
  "America/Godthab": "America/Nuuk",
  "Asia/Calcutta": "Asia/Kolkata",
  "Asia/Katmandu": "Asia/Kathmandu",
  "Asia/Rangoon": "Asia/Yangon",
  "Asia/Saigon": "Asia/Ho_Chi_Minh",
  "Atlantic/Faeroe": "Atlantic/Faroe",
  "Europe/Kiev": "Europe/Kyiv",
};

export const UTC: Zone = { name: "UTC", offsetAt: () => 0 };

/** A zone of the IANA database. Looking it up is slow, so that each day is looked up once. */
class IanaZone implements Zone {
  readonly name: string;
  private readonly format: Intl.DateTimeFormat;
  private readonly midnights = new Map<number, number>();

  /** Throws RangeError when the browser does not know the zone. */
  constructor(name: string) {
    this.format = new Intl.DateTimeFormat("en-US", {
      timeZone: name,
      hourCycle: "h23",
      era: "short",
      year: "numeric",
      month: "numeric",
      day: "numeric",
      hour: "numeric",
      minute: "numeric",
      second: "numeric",
    });
    this.name = modern(name);
  }

  offsetAt(time: number): number {
    const day = Math.floor(time / DAY);
    const [before, after] = [this.atMidnight(day), this.atMidnight(day + 1)];
    // Clocks change at most once a day.
    return before === after ? before : this.lookUp(time);
  }

  private atMidnight(day: number): number {
    let offset = this.midnights.get(day);
    if (offset === undefined) {
      if (this.midnights.size >= MOST_DAYS) this.midnights.clear();
      offset = this.lookUp(day * DAY);
      this.midnights.set(day, offset);
    }
    return offset;
  }

  private lookUp(time: number): number {
    const parts = new Map(this.format.formatToParts(time * 1000).map((p) => [p.type, p.value]));
    const figure = (type: Intl.DateTimeFormatPartTypes): number => Number(parts.get(type));
    const year = parts.get("era") === "BC" ? 1 - figure("year") : figure("year");
    const date = new Date(0);
    date.setUTCFullYear(year, figure("month") - 1, figure("day"));
    date.setUTCHours(figure("hour"), figure("minute"), figure("second"));
    return date.getTime() / 1000 - Math.floor(time);
  }
}

function modern(name: string): string {
  return MODERN[name] ?? name;
}

/**
 * The browser's zone, by the browser's own clock. Its name takes the browser ten times as long as
 * all times on a chart, and is read when it is first shown.
 */
class LocalZone implements Zone {
  private read: string | null = null;

  get name(): string {
    return (this.read ??= modern(Intl.DateTimeFormat().resolvedOptions().timeZone));
  }

  offsetAt(time: number): number {
    return -60 * new Date(time * 1000).getTimezoneOffset();
  }
}

export function localZone(): Zone {
  return new LocalZone();
}

/** The zone of that IANA name; null when the browser does not know it. */
export function zoneNamed(name: string): Zone | null {
  if (name === "UTC") return UTC;
  try {
    return new IanaZone(name);
  } catch {
    return null;
  }
}

/** The zone of the user's setting: `local`, `exchange` or an IANA name. */
export function chosenZone(setting: string): Zone {
  if (setting === "local") return localZone();
  // Exchanges of cryptocurrencies keep UTC.
  if (setting === "exchange") return UTC;
  return zoneNamed(setting) ?? UTC;
}

/**
 * The zone in which times of a series are shown: days are the exchange's days, never shifted, or
 * those of the timeframe's own zone.
 */
export function zoneOfTimeframe(timeframe: Timeframe | null, chosen: Zone): Zone {
  const own = timeframe?.calendar?.zone ?? null;
  if (own !== null) return ownZone(own);
  return timeframe !== null && timeframe.seconds >= DAY ? UTC : chosen;
}

const ownZones = new Map<string, Zone>();

/** Kept, since it is asked for with every label. */
function ownZone(name: string): Zone {
  let zone = ownZones.get(name);
  if (zone === undefined) {
    zone = zoneNamed(name) ?? UTC;
    ownZones.set(name, zone);
  }
  return zone;
}

/** IANA names to choose from, ascending; only UTC where the browser does not list them. */
export function zoneNames(): string[] {
  const listed = Intl.supportedValuesOf?.("timeZone") ?? [];
  return [...new Set(["UTC", ...listed.map(modern)])].sort();
}
