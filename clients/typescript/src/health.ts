/** The server's health of a series: how current its candles and its ledgers are. */

/** The colours of the server's lamps. */
export type HealthStatus = "green" | "yellow" | "red" | "gray";

export interface CandleHealth {
  readonly status: HealthStatus;
  readonly reason: string;
  /** Newest stored candle, UTC seconds; null when there is none. */
  readonly headTime: number | null;
  /** The newest candle that has closed, UTC seconds; null when unknown. */
  readonly expectedTime: number | null;
  readonly missingSeconds: number | null;
  readonly backfillRunning: boolean;
  /** 0 to 100; null when unknown. */
  readonly backfillPercent: number | null;
  /** What was missing when the backfill began, seconds; null when unknown. */
  readonly backfillFrom: number | null;
  /** The exchange lists the market as halted or delisted. */
  readonly isHalted: boolean;
  /** How the series follows the base that it is made of; null for one that is not derived. */
  readonly derived: DerivedHealth | null;
}

/**
 * `made`: with every candle of the base. `filling`: older candles are still to be made.
 * `incomplete`: the newest candle lacks some of the base. `base_late`: the base itself is late.
 * `behind`: the base goes on, and nothing is made of it. `not_made`: nothing was made yet.
 * `not_derived`: no process makes it any more, and the store takes no other candles.
 */
export type DerivedState = (typeof DERIVED_STATES)[number];

export interface DerivedHealth {
  readonly state: DerivedState;
  /** The series that it is made of; null when the server does not derive it. */
  readonly base: string | null;
  /** The newest stored candle of the base, UTC seconds; null when there is none. */
  readonly baseHead: number | null;
  /** The newest candle of the base that is in it, UTC seconds; null when none is. */
  readonly madeTo: number | null;
}

export interface FactorHealth {
  readonly status: HealthStatus;
  readonly reason: string;
  /** Newest candle in the store and in each ledger, UTC seconds; null when there is none. */
  readonly storeHead: number | null;
  readonly factorHead: number | null;
  readonly overlayHead: number | null;
  /** Seconds by which the slower ledger is behind the store; null when unknown. */
  readonly delaySeconds: number | null;
}

/** A derived candle that lacks some of its base. */
export interface PartialCandle {
  readonly time: number;
  readonly found: number;
  readonly expected: number;
}

type Json = Readonly<Record<string, unknown>>;

const DERIVED_STATES = [
  "made",
  "filling",
  "incomplete",
  "base_late",
  "behind",
  "not_made",
  "not_derived",
] as const;
const STATUSES: readonly unknown[] = ["green", "yellow", "red", "gray"];

/** Null when the answer is not a health report. */
export function parseCandleHealth(body: Json): CandleHealth | null {
  const status = statusOf(body);
  if (status === null) return null;
  const backfill = (body["backfill"] ?? {}) as Json;
  return {
    status,
    reason: reasonOf(body),
    headTime: finite(body["head_time"]),
    expectedTime: finite(body["expected_latest_closed_time"]),
    missingSeconds: finite(body["missing_seconds"]),
    backfillRunning: backfill["state"] === "running",
    backfillPercent: finite(backfill["progress_pct"]),
    backfillFrom: finite(backfill["start_missing_seconds"]),
    isHalted: body["is_halted"] === true,
    derived: parseDerived((body["derived"] ?? {}) as Json),
  };
}

/** Null for a state that is not known here: a later server may have more of them. */
function parseDerived(body: Json): DerivedHealth | null {
  const state = DERIVED_STATES.find((each) => each === body["state"]);
  if (state === undefined) return null;
  const base = body["base_series_id"];
  return {
    state,
    base: typeof base === "string" ? base : null,
    baseHead: finite(body["base_head_time"]),
    madeTo: finite(body["made_to_time"]),
  };
}

/** Null when the answer is not a health report. */
export function parseFactorHealth(body: Json): FactorHealth | null {
  const status = statusOf(body);
  if (status === null) return null;
  return {
    status,
    reason: reasonOf(body),
    storeHead: finite(body["store_head_time"]),
    factorHead: finite(body["factor_head_time"]),
    overlayHead: finite(body["overlay_head_time"]),
    delaySeconds: finite(body["max_delay_seconds"]),
  };
}

/**
 * The health with the candles that arrived on the chart since it was reported: `closed` is the
 * newest closed one, UTC seconds.
 */
export function withCandlesUpTo(health: CandleHealth, closed: number | null): CandleHealth {
  const { headTime, expectedTime } = health;
  if (closed === null || expectedTime === null || closed <= (headTime ?? -Infinity)) return health;
  const missingSeconds = Math.max(0, expectedTime - closed);
  const from = health.backfillFrom;
  const done = from ? (100 * Math.max(0, from - missingSeconds)) / from : health.backfillPercent;
  const newer = { ...health, headTime: closed, missingSeconds, backfillPercent: done };
  return missingSeconds === 0 ? { ...newer, status: "green", reason: "up_to_date" } : newer;
}

/** The partial candles of a message; what is none of them is left out. */
export function parsePartial(listed: unknown): PartialCandle[] {
  if (!Array.isArray(listed)) return [];
  return listed.flatMap((each: Json | null) => {
    const time = finite(each?.["candle_time"]);
    const found = finite(each?.["base_candles"]);
    const expected = finite(each?.["expected"]);
    return time === null || found === null || expected === null ? [] : [{ time, found, expected }];
  });
}

function statusOf(body: Json): HealthStatus | null {
  return STATUSES.includes(body["status"]) ? (body["status"] as HealthStatus) : null;
}

function reasonOf(body: Json): string {
  return typeof body["status_reason"] === "string" ? body["status_reason"] : "";
}

function finite(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}
