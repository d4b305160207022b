/** Numbers and times as people read them. Times are UTC seconds, shown in a zone. */

import type { Timeframe } from "trade-canvas-client/timeframe";
import type { Zone } from "./zone";

/** Decimals that are guessed, and that are ever shown. */
const MOST_DECIMALS = 10;
const MOST_SHOWN = 20;
/** With more digits than these `toFixed` writes some that the number does not have. */
const EXACT = 1e15;
const DAY_S = 86_400;
/** Beyond this a double is not exact, so that rounding to a tick would only add noise. */
const MOST_TICKS = 2 ** 50;

/** What is known of the length of a candle. */
export type Lengths = Pick<Timeframe, "seconds" | "calendar">;

/** How the prices of a symbol are written: as multiples of `tick`, with so many decimals. */
export interface PriceUnit {
  readonly tick: number;
  readonly decimals: number;
}

/** How an exchange rounds the prices of a symbol. */
export interface PriceStep {
  /** The step of prices; null where it is not known. */
  readonly tick: number | null;
  /** Significant digits, where the exchange rounds to them instead. */
  readonly digits: number | null;
}

/** The unit by the exchange's step, or else one that fits the prices of the sample. */
export function priceUnit(step: PriceStep | null, sample: readonly number[]): PriceUnit {
  if (step?.tick != null && step.tick > 0) return tickUnit(step.tick);
  const prices = sample.map(Math.abs).filter((price) => Number.isFinite(price) && price > 0);
  if (step?.digits != null && prices.length > 0) return digitsUnit(step.digits, Math.min(...prices));
  return decimalUnit(guessedDecimals(prices));
}

/** A unit of multiples of a tick, such as 0.25 or 10. */
export function tickUnit(tick: number): PriceUnit {
  const [digits = "", exponent = "0"] = String(tick).split("e");
  const fraction = digits.split(".")[1]?.length ?? 0;
  return { tick, decimals: Math.min(MOST_SHOWN, Math.max(0, fraction - Number(exponent))) };
}

/** The unit of a price that is rounded to significant digits. */
function digitsUnit(digits: number, price: number): PriceUnit {
  const decimals = digits - 1 - Math.floor(Math.log10(price));
  return decimals >= 0 ? decimalUnit(decimals) : { tick: 10 ** -decimals, decimals: 0 };
}

function decimalUnit(decimals: number): PriceUnit {
  return { tick: Number(`1e-${decimals}`), decimals };
}

/**
 * Decimals for prices of this size while the tick is not known: as many as the sample needs, at
 * least two, and no more than the magnitude makes sensible (this hides floating point noise).
 */
function guessedDecimals(prices: readonly number[]): number {
  if (prices.length === 0) return 2;
  const cap = decimalsForMagnitude(Math.min(...prices));
  const needed = Math.max(...prices.map((price) => decimalsOf(price, cap)));
  return Math.min(cap, Math.max(2, needed));
}

function decimalsForMagnitude(price: number): number {
  if (price >= 1000) return 2;
  if (price >= 10) return 3;
  if (price >= 1) return 4;
  return Math.min(MOST_DECIMALS, 4 + Math.ceil(-Math.log10(price)));
}

function decimalsOf(price: number, cap: number): number {
  const fraction = price.toFixed(cap).split(".")[1] ?? "";
  return fraction.replace(/0+$/, "").length;
}

/** A price as the market writes it: the nearest multiple of its tick. */
export function formatPrice(price: number, { tick, decimals }: PriceUnit): string {
  const ticks = price / tick;
  // Adding zero turns -0 into 0.
  const rounded = Math.abs(ticks) < MOST_TICKS ? Math.round(ticks) * tick + 0 : price;
  return grouped(rounded, decimals);
}

/** 1234567 becomes 1,234,567. */
export function formatCount(count: number): string {
  return grouped(count, 0);
}

/** Without Intl, whose first use takes the browser half as long as drawing the first candles. */
function grouped(value: number, decimals: number): string {
  if (!(Math.abs(value) * 10 ** decimals < EXACT)) return numberFormat(decimals).format(value);
  const text = value.toFixed(decimals);
  const first = text.startsWith("-") ? 1 : 0;
  let end = decimals === 0 ? text.length : text.length - decimals - 1;
  let grouping = text.slice(end);
  for (; end - 3 > first; end -= 3) grouping = `,${text.slice(end - 3, end)}${grouping}`;
  return text.slice(0, end) + grouping;
}

const numberFormats = new Map<number, Intl.NumberFormat>();

/** Kept: making one takes far longer than formatting a price. */
function numberFormat(decimals: number): Intl.NumberFormat {
  const kept = numberFormats.get(decimals);
  if (kept !== undefined) return kept;
  const made = new Intl.NumberFormat("en-US", {
    minimumFractionDigits: decimals,
    maximumFractionDigits: decimals,
  });
  numberFormats.set(decimals, made);
  return made;
}

/**
 * Steps per unit for the labels of a price axis: those of the tick where the library can divide
 * them (products of 2 and 5), otherwise those of the last decimal.
 */
export function axisBase({ tick, decimals }: PriceUnit): number {
  const steps = Math.round(1 / tick);
  let rest = steps;
  for (const factor of [2, 5]) while (rest > 1 && rest % factor === 0) rest /= factor;
  const divides = rest === 1 && Math.abs(steps * tick - 1) < 1e-9;
  return divides ? steps : 10 ** decimals;
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

/**
 * When a candle opens: of a month the month, of a day of a zone its date. A day that opens at
 * midnight has no clock either.
 */
export function formatOpenTime(time: number, zone: Zone, timeframe: Lengths): string {
  const { seconds, calendar } = timeframe;
  if (calendar?.isMonthly === true) return formatDate(time, zone).slice(0, -"-01".length);
  const isMidnight = (time + zone.offsetAt(time)) % DAY_S === 0;
  const isDay = calendar !== undefined || (seconds >= DAY_S && isMidnight);
  return isDay ? formatDate(time, zone) : formatDateTime(time, zone, seconds < 60);
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

/** 75 becomes 01:15, 3700 becomes 1:01:40; days are counted as such. */
export function formatCountdown(seconds: number): string {
  const whole = Math.max(0, Math.ceil(seconds));
  if (whole >= DAY_S) return formatDuration(whole);
  const hours = Math.floor(whole / 3600);
  const rest = `${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
  return hours > 0 ? `${hours}:${rest}` : rest;
}
