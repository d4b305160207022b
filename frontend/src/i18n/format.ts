/** Numbers and times as people read them. Times are UTC seconds, shown in a zone. */

import type { Zone } from "./zone";

const MOST_DECIMALS = 10;

/**
 * Decimals to show for prices of this size: as many as the sample needs, at least two, and no more
 * than the magnitude makes sensible (this also hides floating point noise).
 */
export function pricePrecision(sample: readonly number[]): number {
  const prices = sample.map(Math.abs).filter((price) => Number.isFinite(price) && price > 0);
  if (prices.length === 0) return 2;
  const cap = precisionForMagnitude(Math.min(...prices));
  const needed = Math.max(...prices.map((price) => decimalsOf(price, cap)));
  return Math.min(cap, Math.max(2, needed));
}

function precisionForMagnitude(price: number): number {
  if (price >= 1000) return 2;
  if (price >= 10) return 3;
  if (price >= 1) return 4;
  return Math.min(MOST_DECIMALS, 4 + Math.ceil(-Math.log10(price)));
}

function decimalsOf(price: number, cap: number): number {
  const fraction = price.toFixed(cap).split(".")[1] ?? "";
  return fraction.replace(/0+$/, "").length;
}

export function formatPrice(price: number, precision: number): string {
  return price.toLocaleString("en-US", {
    minimumFractionDigits: precision,
    maximumFractionDigits: precision,
  });
}

/** 1234567 becomes 1.23M. */
export function formatVolume(volume: number): string {
  const size = Math.abs(volume);
  for (const [unit, name] of [
    [1e12, "T"],
    [1e9, "B"],
    [1e6, "M"],
    [1e3, "K"],
  ] as const) {
    if (size >= unit) return `${trimmed(volume / unit)}${name}`;
  }
  return size === 0 ? "0" : trimmed(volume);
}

function trimmed(value: number): string {
  const size = Math.abs(value);
  const decimals = size >= 100 ? 1 : size >= 1 ? 2 : 4;
  return String(Number(value.toFixed(decimals)));
}

/** +1.23% */
export function formatPercent(percent: number): string {
  const text = `${Math.abs(percent).toFixed(2)}%`;
  if (Number(percent.toFixed(2)) === 0) return text;
  return percent > 0 ? `+${text}` : `−${text}`;
}

const two = (value: number): string => String(value).padStart(2, "0");

/** The date and clock time that the zone's clocks show, as if it were UTC. */
export function inZone(time: number, zone: Zone): Date {
  return new Date((time + zone.offsetAt(time)) * 1000);
}

/** HH:MM, optionally with seconds. */
export function formatClock(time: number, zone: Zone, withSeconds = false): string {
  const date = inZone(time, zone);
  const clock = `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}`;
  return withSeconds ? `${clock}:${two(date.getUTCSeconds())}` : clock;
}

/** YYYY-MM-DD */
export function formatDate(time: number, zone: Zone): string {
  const date = inZone(time, zone);
  return `${date.getUTCFullYear()}-${two(date.getUTCMonth() + 1)}-${two(date.getUTCDate())}`;
}

/** YYYY-MM-DD HH:MM, optionally with seconds. */
export function formatDateTime(time: number, zone: Zone, withSeconds = false): string {
  return `${formatDate(time, zone)} ${formatClock(time, zone, withSeconds)}`;
}

/** 75 becomes `1m 15s`; the two largest units only. */
export function formatDuration(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const parts: [number, string][] = [
    [Math.floor(whole / 86400), "d"],
    [Math.floor(whole / 3600) % 24, "h"],
    [Math.floor(whole / 60) % 60, "m"],
    [whole % 60, "s"],
  ];
  const first = parts.findIndex(([count]) => count > 0);
  if (first < 0) return "0s";
  return parts
    .slice(first, first + 2)
    .filter(([count]) => count > 0)
    .map(([count, unit]) => `${count}${unit}`)
    .join(" ");
}

/** 75 becomes 01:15, 3700 becomes 1:01:40. */
export function formatCountdown(seconds: number): string {
  const whole = Math.max(0, Math.ceil(seconds));
  const hours = Math.floor(whole / 3600);
  const rest = `${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
  return hours > 0 ? `${hours}:${rest}` : rest;
}
