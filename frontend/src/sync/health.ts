/** The server's health of a series: how current its candles and its ledgers are. */

/** The colours of the server's lamps. */
export type HealthStatus = "green" | "yellow" | "red" | "gray";

export interface CandleHealth {
  readonly status: HealthStatus;
  readonly reason: string;
  /** Newest stored candle, UTC seconds; null when there is none. */
  readonly headTime: number | null;
  readonly missingSeconds: number | null;
  readonly backfillRunning: boolean;
  /** 0 to 100; null when unknown. */
  readonly backfillPercent: number | null;
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

type Json = Readonly<Record<string, unknown>>;

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
    missingSeconds: finite(body["missing_seconds"]),
    backfillRunning: backfill["state"] === "running",
    backfillPercent: finite(backfill["progress_pct"]),
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

function statusOf(body: Json): HealthStatus | null {
  return STATUSES.includes(body["status"]) ? (body["status"] as HealthStatus) : null;
}

function reasonOf(body: Json): string {
  return typeof body["status_reason"] === "string" ? body["status_reason"] : "";
}

function finite(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}
