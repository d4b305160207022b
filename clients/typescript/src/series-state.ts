/**
 * The state of the one series on the page, and the pure reducer that is its only writer.
 *
 * Closed candles are strictly ascending and merged by time; the forming candle is separate, so that
 * its time is never sent as `since`.
 */

import { lowerBound, mergeCandles } from "./candle-list.js";
import { chartChange, NO_CHANGE, REPLACE, type ChartChange } from "./chart-change.js";
import { findHoles, type Hole } from "./holes.js";
import { parseSeriesId } from "./series-id.js";
import { latestClosedTime, type Timeframe } from "./timeframe.js";
import type { Candle } from "./candle.js";

export type Status = "loading" | "backfilling" | "empty" | "live" | "reconnecting" | "error";
export type Connection = "idle" | "connecting" | "open" | "waiting";

export interface Failure {
  readonly code: string;
  readonly detail: string;
}

/** A hole that the server reported and the page reads again: `[from, to)` in UTC seconds. */
export interface AnnouncedGap {
  readonly from: number;
  readonly to: number;
}

export interface SeriesState {
  readonly seriesId: string;
  readonly timeframe: Timeframe;
  readonly status: Status;
  /** Closed candles, strictly ascending by time. */
  readonly candles: readonly Candle[];
  /** The open candle, always newer than every closed one. */
  readonly forming: Candle | null;
  readonly serverHead: number | null;
  /**
   * Every revision up to this epoch is in the loaded candles; later ones may be. Null when nothing
   * is loaded, or when the server sent no epoch.
   */
  readonly epoch: number | null;
  /** The generation of the loaded candles; null when nothing is loaded, or none was sent. */
  readonly generation: string | null;
  /** Holes between the loaded candles, oldest first. */
  readonly holes: readonly Hole[];
  readonly announcedGaps: readonly AnnouncedGap[];
  /** At least one page arrived. */
  readonly loaded: boolean;
  /** A read has reached the server's head since the series was opened. */
  readonly caughtUp: boolean;
  readonly connection: Connection;
  /** Something failed since the socket was last open. */
  readonly interrupted: boolean;
  /** When the next attempt is due, milliseconds of the local clock. */
  readonly retryAt: number | null;
  /** The server refused to follow the series; the page polls instead. */
  readonly atCapacity: boolean;
  /** The socket has been silent for too long. */
  readonly stale: boolean;
  /** The exchange lists the market as halted or delisted: no new candles come. */
  readonly halted: boolean;
  readonly failure: Failure | null;
  /** Server clock minus local clock, milliseconds. */
  readonly clockOffsetMs: number;
  /** Time of the newest closed candle that came over the socket. */
  readonly lastWsTime: number | null;
  /** How many closed candles to keep; grows as older ones are loaded. */
  readonly keep: number;
  /** No older candles are read: there are none, or the page keeps no more. */
  readonly historyExhausted: boolean;
  /** The first candle of all history, UTC seconds; null while it is not known. */
  readonly historyBegins: number | null;
}

export type Action =
  | { readonly type: "series_changed"; readonly seriesId: string; readonly past?: Past }
  | {
      readonly type: "page_loaded";
      readonly candles: readonly Candle[];
      readonly serverHead: number | null;
      /** The page reaches the server's head. */
      readonly complete: boolean;
      readonly epoch: number | null;
      readonly generation?: string | null;
      readonly clockOffsetMs?: number | undefined;
    }
  | {
      readonly type: "older_loaded";
      readonly candles: readonly Candle[];
      readonly exhausted: boolean;
      readonly epoch: number | null;
    }
  | { readonly type: "candle_closed"; readonly candle: Candle }
  | { readonly type: "candles_batch"; readonly candles: readonly Candle[] }
  | { readonly type: "candle_forming"; readonly candle: Candle }
  | { readonly type: "gap"; readonly from: number; readonly to: number }
  /**
   * Everything after `since` has been read again: what is still missing, the server does not have.
   * With `epoch`, everything revised up to it has been read too.
   */
  | { readonly type: "range_read"; readonly since: number | null; readonly epoch: number | null }
  | { readonly type: "revised"; readonly fromTime: number }
  /** The server's store has another past: nothing that is loaded counts any more. */
  | { readonly type: "forgotten" }
  | { readonly type: "connecting" }
  | { readonly type: "socket_opened" }
  | { readonly type: "waiting"; readonly retryAt: number; readonly failure: Failure | null }
  | { readonly type: "capacity"; readonly reached: boolean }
  | { readonly type: "stale"; readonly stale: boolean }
  | { readonly type: "halted"; readonly halted: boolean }
  | { readonly type: "failed"; readonly failure: Failure };

/** What is known of candles that were read before. */
export type Past = Pick<SeriesState, "epoch" | "generation">;

export interface Step {
  readonly state: SeriesState;
  readonly change: ChartChange;
}

export const DEFAULT_KEEP = 5000;
export const MOST_KEPT = 50000;
const MOST_ANNOUNCED_GAPS = 100;

/** What has been read of a series, before anything has. */
const NOTHING_LOADED = {
  candles: [],
  forming: null,
  serverHead: null,
  epoch: null,
  generation: null,
  holes: [],
  announcedGaps: [],
  loaded: false,
  caughtUp: false,
  lastWsTime: null,
  historyExhausted: false,
  historyBegins: null,
} as const satisfies Partial<SeriesState>;

/** The state before anything is loaded. Throws when `seriesId` can not be parsed. */
export function initialState(seriesId: string, past?: Past): SeriesState {
  return {
    ...NOTHING_LOADED,
    ...past,
    seriesId,
    timeframe: parseSeriesId(seriesId).timeframe,
    status: "loading",
    connection: "idle",
    interrupted: false,
    retryAt: null,
    atCapacity: false,
    stale: false,
    halted: false,
    failure: null,
    clockOffsetMs: 0,
    keep: DEFAULT_KEEP,
  };
}

/** Applies one action. Throws only for a `series_changed` to an invalid id. */
export function reduce(before: SeriesState, action: Action): Step {
  if (action.type === "series_changed") {
    return { state: initialState(action.seriesId, action.past), change: REPLACE };
  }
  const next = apply(before, action);
  const status = statusOf(next);
  const state = next.status === status ? next : { ...next, status };
  return { state, change: changeBetween(before, state, action) };
}

/** Time of the newest closed candle, the only value that may be sent as `since`. */
export function lastClosedTime(state: SeriesState): number | null {
  return state.candles.at(-1)?.candle_time ?? null;
}

/** Seconds between the newest closed candle and the one expected at `nowMs`. */
export function lagSeconds(state: SeriesState, nowMs: number): number | null {
  const last = lastClosedTime(state);
  if (last === null) return null;
  const now = (nowMs + state.clockOffsetMs) / 1000;
  return Math.max(0, latestClosedTime(state.timeframe, now) - last);
}

/** Whether the server reported the hole and it is being read again. */
export function isRecovering(state: SeriesState, hole: Hole): boolean {
  return state.announcedGaps.some((gap) => gap.from < hole.to && hole.from < gap.to);
}

type SeriesAction = Exclude<Action, { type: "series_changed" }>;

function apply(state: SeriesState, action: SeriesAction): SeriesState {
  switch (action.type) {
    case "page_loaded":
      return pageLoaded(state, action);
    case "older_loaded":
      return olderLoaded(state, action);
    case "candle_closed":
      return arrived(state, [action.candle]);
    case "candles_batch":
      return arrived(state, action.candles);
    case "candle_forming":
      return receivedMessage(formed(state, action.candle));
    case "gap":
      return receivedMessage(gapAnnounced(state, { from: action.from, to: action.to }));
    case "range_read":
      return revisionsRead(rangeRead(state, action.since), action.epoch);
    case "revised":
      return receivedMessage(revised(state, action.fromTime));
    case "forgotten":
      return { ...state, ...NOTHING_LOADED };
    default:
      return applyConnection(state, action);
  }
}

type ConnectionAction = Extract<
  SeriesAction,
  { type: "connecting" | "socket_opened" | "waiting" | "capacity" | "stale" | "halted" | "failed" }
>;

function applyConnection(state: SeriesState, action: ConnectionAction): SeriesState {
  switch (action.type) {
    case "connecting":
      return { ...state, connection: "connecting", retryAt: null };
    case "socket_opened":
      return { ...state, connection: "open", interrupted: false, failure: null, stale: false };
    case "waiting":
      return {
        ...state,
        connection: "waiting",
        interrupted: true,
        retryAt: action.retryAt,
        failure: action.failure,
        atCapacity: false,
      };
    case "capacity":
      return { ...state, atCapacity: action.reached };
    case "stale":
      return { ...state, stale: action.stale };
    case "halted":
      return { ...state, halted: action.halted };
    case "failed":
      return { ...state, connection: "idle", retryAt: null, failure: action.failure };
  }
}

function statusOf(state: SeriesState): Status {
  if (state.failure !== null && state.connection === "idle") return "error";
  if (state.interrupted) return "reconnecting";
  if (!state.loaded) return "loading";
  if (!state.caughtUp) return "backfilling";
  // With a head, nothing came since candles that were read before.
  const isEmpty = state.candles.length === 0 && state.serverHead === null;
  if (isEmpty && state.forming === null) return "empty";
  return state.connection === "open" ? "live" : "backfilling";
}

function changeBetween(before: SeriesState, after: SeriesState, action: SeriesAction): ChartChange {
  if (before.candles === after.candles) {
    return before.forming === after.forming ? NO_CHANGE : chartChange(before, after, null);
  }
  const appended = action.type === "candle_closed" && isAppended(before, after, action.candle);
  const from = appended ? action.candle.candle_time : firstDifference(before.candles, after.candles);
  return chartChange(before, after, from);
}

/** Whether the candle is all that is new, as nearly always: then no list has to be gone through. */
function isAppended(before: SeriesState, after: SeriesState, { candle_time }: Candle): boolean {
  const last = lastClosedTime(before);
  return last !== null && candle_time > last && before.candles[0] === after.candles[0];
}

/** Unchanged candles stay the same objects, so the two lists are compared from their ends. */
function firstDifference(before: readonly Candle[], after: readonly Candle[]): number | null {
  if (before[0] !== after[0]) return before[0] && after[0] ? -Infinity : earliest(before, after);
  let low = 0;
  const shared = Math.min(before.length, after.length);
  while (low < shared && before[low] === after[low]) low += 1;
  return earliest(before.slice(low, low + 1), after.slice(low, low + 1));
}

function earliest(before: readonly Candle[], after: readonly Candle[]): number | null {
  const times = [before[0], after[0]].flatMap((candle) => (candle ? [candle.candle_time] : []));
  return times.length === 0 ? null : Math.min(...times);
}

function pageLoaded(
  state: SeriesState,
  page: Extract<Action, { type: "page_loaded" }>,
): SeriesState {
  const merged = withClosed(state, page.candles);
  const isFirst = !state.loaded && state.epoch === null;
  return {
    ...merged,
    loaded: true,
    caughtUp: merged.caughtUp || page.complete,
    serverHead: page.serverHead ?? merged.serverHead,
    epoch: isFirst ? page.epoch : olderEpoch(state.epoch, page.epoch),
    generation: isFirst ? (page.generation ?? null) : state.generation,
    clockOffsetMs: page.clockOffsetMs ?? merged.clockOffsetMs,
  };
}

/** The older of two epochs; unknown if one of them is. */
export function olderEpoch(one: number | null, other: number | null): number | null {
  return one === null || other === null ? null : Math.min(one, other);
}

function revisionsRead(state: SeriesState, epoch: number | null): SeriesState {
  if (state.epoch === null || epoch === null || epoch <= state.epoch) return state;
  return { ...state, epoch };
}

function olderLoaded(
  state: SeriesState,
  page: Extract<Action, { type: "older_loaded" }>,
): SeriesState {
  const first = state.candles[0]?.candle_time ?? Infinity;
  const older = page.candles.filter((candle) => candle.candle_time < first);
  // The next live candle must not trim what the user has scrolled to.
  const keep = Math.min(MOST_KEPT, Math.max(state.keep, state.candles.length + older.length));
  const merged = withClosed({ ...state, keep }, older);
  return {
    ...merged,
    epoch: older.length > 0 ? olderEpoch(state.epoch, page.epoch) : state.epoch,
    historyExhausted: page.exhausted || merged.candles.length >= MOST_KEPT,
    historyBegins: page.exhausted ? (merged.candles[0]?.candle_time ?? null) : null,
  };
}

/** Closed candles that came over the socket. */
function arrived(state: SeriesState, candles: readonly Candle[]): SeriesState {
  const newest = candles.reduce((time, candle) => Math.max(time, candle.candle_time), -Infinity);
  if (newest === -Infinity) return state;
  const merged = receivedMessage(withClosed(state, candles));
  return { ...merged, lastWsTime: Math.max(newest, state.lastWsTime ?? newest) };
}

/** Any message about the series proves that the server follows it. */
function receivedMessage(state: SeriesState): SeriesState {
  return state.stale || state.atCapacity ? { ...state, stale: false, atCapacity: false } : state;
}

function formed(state: SeriesState, candle: Candle): SeriesState {
  const time = candle.candle_time;
  const isClosed = time <= (lastClosedTime(state) ?? -Infinity);
  const stepsBack = time < (state.forming?.candle_time ?? -Infinity);
  return isClosed || stepsBack ? state : { ...state, forming: candle };
}

function gapAnnounced(state: SeriesState, gap: AnnouncedGap): SeriesState {
  if (gap.to <= gap.from) return state;
  return { ...state, announcedGaps: [...state.announcedGaps, gap].slice(-MOST_ANNOUNCED_GAPS) };
}

function rangeRead(state: SeriesState, since: number | null): SeriesState {
  const first = since ?? state.candles[0]?.candle_time ?? -Infinity;
  const open = state.announcedGaps.filter((gap) => gap.from <= first);
  return open.length === state.announcedGaps.length ? state : { ...state, announcedGaps: open };
}

/** History before the first loaded candle may have grown: scrolling loads it again. */
function revised(state: SeriesState, fromTime: number): SeriesState {
  const first = state.candles[0]?.candle_time ?? Infinity;
  return fromTime < first ? { ...state, historyExhausted: false, historyBegins: null } : state;
}

function withClosed(state: SeriesState, incoming: readonly Candle[]): SeriesState {
  const { candles, changedFrom } = mergeCandles(state.candles, incoming);
  if (changedFrom === null) return state;
  const kept = trimmed(candles, state.keep);
  const last = kept.at(-1)?.candle_time ?? -Infinity;
  const forming = state.forming !== null && state.forming.candle_time > last ? state.forming : null;
  // What is dropped at the front can be read again.
  const historyExhausted = state.historyExhausted && kept === candles;
  const holes = holesAfter(state, kept, changedFrom);
  return { ...state, candles: kept, forming, holes, historyExhausted };
}

// Ten percent of slack, so that not every live candle redraws the whole chart.
function trimmed(candles: readonly Candle[], keep: number): readonly Candle[] {
  return candles.length > keep * 1.1 ? candles.slice(-keep) : candles;
}

/** Keeps the holes before the first change; only the rest is searched again. */
function holesAfter(state: SeriesState, kept: readonly Candle[], changedFrom: number): Hole[] {
  const first = kept[0]?.candle_time ?? -Infinity;
  const start = Math.max(0, lowerBound(kept, changedFrom) - 1);
  const border = kept[start]?.candle_time ?? Infinity;
  const untouched = state.holes.filter((hole) => hole.to <= border && hole.from > first);
  return [...untouched, ...findHoles(kept.slice(start), state.timeframe)];
}
