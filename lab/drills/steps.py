"""How each capability is switched off: the runbook's table, which the rollback drill follows."""

from __future__ import annotations

from dataclasses import dataclass

from trade_canvas.switches import PREFIX

HEADER = "| to stop | set | then |\n| --- | --- | --- |\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One row of the runbook: `switches` without their prefix are set to 0, all is restarted.

    `one_process`: only one web process remains. `gone` are addresses that then answer 404.
    `special`: it needs a server or a proxy that the drill does not have, so it is never on there.
    """

    stop: str
    switches: tuple[str, ...]
    then: str
    one_process: bool = False
    gone: tuple[str, ...] = ()
    special: bool = False

    @property
    def row(self) -> str:
        """The step as a row of the runbook's table."""
        settings = ", ".join(f"`{PREFIX}{name}=0`" for name in self.switches)
        return f"| {self.stop} | {settings} | {self.then} |"


STEPS = (
    Step(
        stop="following the whitelist",
        switches=("ENABLE_WHITELIST_INGEST",),
        then="stored candles are still served, and what is watched is still followed",
    ),
    Step(
        stop="following what is watched",
        switches=("ENABLE_ONDEMAND_INGEST",),
        then="subscribing works, for what is stored and followed otherwise",
    ),
    Step(
        stop="fetching history from exchanges",
        switches=(
            "ENABLE_CCXT_BACKFILL",
            "ENABLE_MARKET_AUTO_TAIL_BACKFILL",
            "ENABLE_STARTUP_KLINE_SYNC",
        ),
        then="followed series still fetch the candles they miss; nothing older is fetched",
    ),
    Step(
        stop="repairing gaps while delivering",
        switches=("ENABLE_MARKET_GAP_BACKFILL",),
        then="gaps are reported to watchers at once",
    ),
    Step(
        stop="looking for late corrections",
        switches=("ENABLE_REVISION_CHECK",),
        then="only the newest candles are read again; `manage.py audit SERIES --repair` corrects"
        " older ones",
    ),
    Step(
        stop="the circuit breaker",
        switches=("ENABLE_INGEST_LOOP_GUARDRAIL",),
        then="failing series are retried without end, with pauses",
    ),
    Step(
        stop="roles",
        switches=("ENABLE_INGEST_ROLE_GUARD",),
        then="every process may ingest, whatever its role",
    ),
    Step(
        stop="factors",
        switches=("ENABLE_FACTOR_INGEST",),
        then="candles continue; factors and drawings stop until it is on again, then catch up",
    ),
    Step(
        stop="recomputing factors automatically",
        switches=("ENABLE_FACTOR_FINGERPRINT_REBUILD",),
        then="after a change of parameters, ingest fails until `manage.py rebuild` ran",
    ),
    Step(
        stop="alerts",
        switches=("ENABLE_ALERTS",),
        then="404; no rule is evaluated and nothing is posted. What waits is posted once it is on"
        " again, unless it is older than a day",
        gone=("/api/alerts/stream",),
    ),
    Step(
        stop="drawings",
        switches=("ENABLE_OVERLAY_INGEST",),
        then="candles and factors continue; drawings stop until it is on again, then catch up",
    ),
    Step(
        stop="sending drawings and health over the WebSocket",
        switches=("ENABLE_WS_PUSH",),
        then="pages ask for drawings after each closed candle, and for health every few seconds",
    ),
    Step(
        stop="debug and development APIs",
        switches=(
            "ENABLE_DEBUG_API",
            "ENABLE_DEV_API",
            "ENABLE_KLINE_HEALTH_V2",
            "ENABLE_READ_REPAIR_API",
        ),
        then="404",
        gone=("/api/market/debug/ingest_state",),
    ),
    Step(
        stop="timeframes made of a base",
        switches=("ENABLE_DERIVED_TIMEFRAMES", "ENABLE_DERIVED_PARTIAL_CANDLES"),
        then="their series are followed at the exchange, like any other; their candles stay",
    ),
    Step(
        stop="replay packages",
        switches=("ENABLE_REPLAY_V1", "ENABLE_REPLAY_ENSURE_COVERAGE"),
        then="404; a replay is streamed",
        gone=("/api/replay/status?job_id=0",),
    ),
    Step(
        stop="dense rows",
        switches=("ENABLE_DENSE_LEDGER",),
        then="new rows are plain; dense ones are read as before",
    ),
    Step(
        stop="removing old candles",
        switches=("ENABLE_RETENTION",),
        then="what is removed is gone; nothing older is fetched while `TRADE_CANVAS_RETENTION` "
        "names its timeframe",
    ),
    Step(
        stop="candles as files",
        switches=("ENABLE_CANDLE_EXPORT",),
        then="404; `manage.py export_candles` works",
        gone=("/api/market/candles.csv",),
    ),
    Step(
        stop="charts that speak UDF",
        switches=("ENABLE_UDF",),
        then="404",
        gone=("/udf/config",),
    ),
    Step(
        stop="history in chunks",
        switches=("ENABLE_COMPACT_HISTORY",),
        then="404; pages read all candles from candle pages, which are JSON",
        gone=("/api/market/history",),
    ),
    Step(
        stop="metrics",
        switches=("ENABLE_RUNTIME_METRICS", "ENABLE_CAPACITY_METRICS"),
        then="404",
        gone=("/metrics",),
    ),
    Step(
        stop="pages of every origin",
        switches=("ENABLE_WS_ANY_ORIGIN",),
        then="pages on `ALLOWED_HOSTS` and of `TRADE_CANVAS_CORS_ORIGINS` connect, others do not",
    ),
    Step(
        stop="the limit on guesses at the admin's password",
        switches=("ENABLE_LOG_IN_THROTTLE",),
        then="locked-out accounts can log in; turn it on again soon",
    ),
    Step(
        stop="https for all clients",
        switches=("ENABLE_HTTPS",),
        then="plain http works again; browsers remember HSTS until it expires",
        special=True,
    ),
    Step(
        stop="what needs a special PostgreSQL server",
        switches=("ENABLE_TIMESCALE", "ENABLE_PG_POOLER"),
        then="PostgreSQL is connected to directly; what is a hypertable stays one"
        " ([database.md](database.md))",
        special=True,
    ),
    Step(
        stop="delivery between processes",
        switches=("ENABLE_WS_PUBSUB",),
        then="run one web process, no worker and no beat; it ingests itself",
        one_process=True,
    ),
    Step(
        stop="PostgreSQL",
        switches=("ENABLE_PG_STORE", "ENABLE_PG_ONLY", "ENABLE_WS_PUBSUB", "ENABLE_ALERTS"),
        then="run one web process; memory only, whitelist from `WHITELIST_PATH`."
        " The data in PostgreSQL stays as it is",
        one_process=True,
    ),
)


def table() -> str:
    """The runbook's table of switches, in Markdown."""
    return HEADER + "\n".join(step.row for step in STEPS) + "\n"
