"""Every ``TRADE_CANVAS_*`` variable: the only place that reads them.

Each field below is one variable, ``TRADE_CANVAS_`` and the field's name in upper case. Names,
defaults and bounds are those of the contract; docs/configuration.md explains each (a test compares
the two). Booleans are true for ``1 true yes on`` in any case and false for everything else. A
number that can't be read falls back to its default; one below its minimum is raised to it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from ipaddress import ip_network
from typing import Any

from market.domain.retention import LEAST_CANDLES, Bounds, RetentionError, parse_retention
from market.domain.rollup import DerivedTimeframes
from market.domain.timeframe import Timeframe, TimeframeError

PREFIX = "TRADE_CANVAS_"
TRUE_WORDS = frozenset({"1", "true", "yes", "on"})
# The switch without which an address is not used.
NEEDED_FOR = {
    "DATABASE_URL": f"{PREFIX}ENABLE_PG_STORE",
    "REDIS_URL": f"{PREFIX}ENABLE_WS_PUBSUB",
}
INGEST_ROLES = ("hybrid", "ingest", "read")


class SwitchError(Exception):
    """An impossible combination of switches; the message is a stable code."""


def _number(default: float, minimum: float) -> Any:
    return field(default=default, metadata={"minimum": minimum})


@dataclass(frozen=True, slots=True, kw_only=True)
class Switches:
    """All switches and limits that the environment can set."""

    # API gates
    enable_debug_api: bool = False
    enable_dev_api: bool = False
    enable_kline_health_v2: bool = False
    kline_health_backfill_recent_seconds: int = _number(120, 5)
    enable_compact_history: bool = False
    enable_candle_export: bool = False
    enable_udf: bool = False
    cors_origins: str = "http://localhost:5173,http://127.0.0.1:5173"
    ingest_token: str = ""
    api_requests_per_s: int = _number(0, 0)
    api_cost_ms_per_s: int = _number(0, 0)

    # Ingest
    enable_whitelist_ingest: bool = False
    enable_ondemand_ingest: bool = False
    ondemand_idle_ttl_s: int = _number(60, 1)
    ondemand_max_jobs: int = _number(0, 0)
    ondemand_max_groups: int = _number(16, 0)
    ondemand_max_series_per_address: int = _number(0, 0)
    ondemand_max_groups_per_address: int = _number(4, 0)
    ondemand_exchanges: str = ""
    lease_ttl_s: int = _number(15, 2)
    reconcile_interval_s: float = _number(2.0, 0.2)
    follow_task_max_s: int = _number(900, 5)
    follow_shards: int = _number(1, 1)
    follow_max_groups: int = _number(64, 1)
    binance_ws_batch_max: int = _number(200, 1)
    binance_ws_flush_s: float = _number(0.5, 0.05)
    market_forming_min_interval_ms: int = _number(250, 0)
    enable_ingest_role_guard: bool = False
    ingest_role: str = "hybrid"
    enable_ingest_loop_guardrail: bool = False
    whitelist_path: str = "config/market_whitelist.json"
    sim_url: str = "http://127.0.0.1:8900"

    # Market data
    market_ws_catchup_limit: int = _number(5000, 100)
    market_gap_backfill_read_limit: int = _number(5000, 100)
    enable_market_auto_tail_backfill: bool = False
    market_auto_tail_backfill_max_candles: int = _number(0, 0)
    enable_market_gap_backfill: bool = False
    enable_startup_kline_sync: bool = False
    startup_kline_sync_target_candles: int = _number(2000, 100)
    enable_ccxt_backfill: bool = False
    enable_revision_check: bool = False
    revision_check_interval_s: float = _number(3600.0, 10.0)
    revision_check_candles: int = _number(0, 0)
    ccxt_timeout_ms: int = _number(10_000, 1000)
    binance_exchangeinfo_ttl_s: int = _number(3600, 1)
    binance_ticker_ttl_s: int = _number(10, 1)

    # Derived timeframes
    enable_derived_timeframes: bool = False
    derived_base_timeframe: str = "1m"
    derived_timeframes: str = "5m,15m,1h,4h,1d"
    derived_backfill_base_candles: int = _number(2000, 100)
    enable_derived_partial_candles: bool = False

    # Factors
    enable_factor_ingest: bool = True
    enable_factor_fingerprint_rebuild: bool = True
    factor_logic_version: str = ""
    foreign_factors: str = ""
    factor_instances: str = ""
    pivot_window_major: int = _number(50, 1)
    pivot_window_minor: int = _number(5, 1)
    sr_tolerance_atr: float = _number(0.5, 0.0)
    sr_min_touches: int = _number(2, 1)
    sr_max_levels: int = _number(10, 1)
    sr_broken_cross_count: int = _number(3, 1)
    sr_atr_period: int = _number(14, 1)
    sr_cluster_pivot_limit: int = _number(200, 1)

    # Alerts
    enable_alerts: bool = False
    alerts_networks: str = ""
    alerts_max_age_s: int = _number(3600, 1)
    alerts_keep_days: int = _number(30, 1)

    # Overlays
    enable_overlay_ingest: bool = True
    overlay_window_candles: int = _number(2000, 100)
    enable_read_repair_api: bool = False

    # Replay
    enable_replay_v1: bool = True
    enable_replay_ensure_coverage: bool = True
    artifacts_dir: str = ""
    replay_packages_max_mb: int = _number(1024, 1)

    # Ledgers
    enable_dense_ledger: bool = False

    # Retention
    retention: str = ""
    enable_retention: bool = False

    # Live
    enable_ws_push: bool = False
    ws_outbox_bytes: int = _number(4_194_304, 65_536)
    ws_max_subscriptions: int = _number(100, 1)
    ws_messages_per_s: int = _number(50, 1)
    ws_max_message_bytes: int = _number(65_536, 1024)
    ws_max_connections_per_address: int = _number(0, 0)
    enable_ws_any_origin: bool = False
    hub_check_interval_s: float = _number(2.0, 0.05)

    # Metrics
    enable_runtime_metrics: bool = False
    enable_capacity_metrics: bool = False
    metrics_token: str = ""
    metrics_networks: str = "127.0.0.0/8,::1/128"
    metrics_host: str = "127.0.0.1"
    metrics_port: int = _number(0, 0)

    # Storage, scale-out, process
    enable_pg_store: bool = False
    enable_pg_only: bool = False
    installation_id: str = ""
    postgres_connect_timeout_s: float = _number(5.0, 0.1)
    postgres_statement_timeout_s: float = _number(60.0, 0.0)
    postgres_lock_timeout_s: float = _number(20.0, 0.0)
    postgres_idle_in_transaction_timeout_s: float = _number(120.0, 0.0)
    postgres_connection_max_age_s: int = _number(600, 0)
    enable_pg_pooler: bool = False
    enable_timescale: bool = False
    timescale_chunk_s: int = _number(604_800, 3600)
    timescale_compress_after_s: int = _number(0, 0)
    timescale_retention_s: int = _number(0, 0)
    enable_ws_pubsub: bool = False
    trusted_proxies: int = _number(0, 0)
    enable_https: bool = False
    enable_log_in_throttle: bool = True
    blocking_workers: int = _number(8, 1)
    blocking_queue: int = _number(10_000, 1)
    request_workers: int = _number(16, 1)
    request_queue: int = _number(1_000, 1)
    shutdown_delay_s: float = _number(0.0, 0.0)

    @staticmethod
    def from_environment(environment: Mapping[str, str]) -> Switches:
        """Read the switches; raise SwitchError for an impossible combination."""
        values = {
            each.name: _read(environment[PREFIX + each.name.upper()], each.default, each.metadata)
            for each in fields(Switches)
            if PREFIX + each.name.upper() in environment
        }
        if values.get("ingest_role", "hybrid") not in INGEST_ROLES:
            values["ingest_role"] = "hybrid"
        switches = Switches(**values)
        try:
            Timeframe.parse(switches.derived_base_timeframe)
        except TimeframeError:
            switches = replace(switches, derived_base_timeframe="1m")
        if switches.enable_pg_only and not switches.enable_pg_store:
            raise SwitchError("pg_store_required_when_pg_only_enabled")
        switches.require_alerts_possible()
        try:
            bounds = parse_retention(switches.retention, least_candles=switches.least_kept_candles)
            switches.require_buckets_kept(bounds)
        except RetentionError as error:
            raise SwitchError(f"retention_invalid: {PREFIX}RETENTION: {error}") from error
        return switches

    def require_alerts_possible(self) -> None:
        """Raise SwitchError if alerts are on without a database, or their networks are none."""
        if self.enable_alerts and not self.enable_pg_store:
            raise SwitchError("pg_store_required_when_alerts_enabled")
        try:
            for text in filter(None, map(str.strip, self.alerts_networks.split(","))):
                ip_network(text)
        except ValueError as error:
            raise SwitchError(f"alerts_networks_invalid: {error}") from error

    @property
    def least_kept_candles(self) -> int:
        """Candles that retention must leave: what drawings reach back, and a start-up sync."""
        synced = self.startup_kline_sync_target_candles if self.enable_startup_kline_sync else 0
        return max(LEAST_CANDLES, self.overlay_window_candles, synced)

    def require_buckets_kept(self, bounds: Bounds) -> None:
        """Raise RetentionError if candles would go before their derived candles are made."""
        timeframes = DerivedTimeframes.parse(self.derived_base_timeframe, self.derived_timeframes)
        if not self.enable_derived_timeframes or timeframes.base not in bounds:
            return
        longest = max(timeframes.derived, default=timeframes.base)
        if bounds[timeframes.base] < 2 * longest.seconds:
            raise RetentionError(
                f"{timeframes.base} is kept for less than two candles of {longest}, which is"
                " derived of it"
            )

    @property
    def ingest_in_process(self) -> bool:
        """Whether the web process ingests itself: workers need a shared store and a bus."""
        return not (self.enable_pg_store and self.enable_ws_pubsub)

    @property
    def ondemand_series_an_address(self) -> int:
        """On-demand series that one address may have followed; 0 means no limit."""
        if self.ondemand_max_series_per_address or not self.ondemand_max_jobs:
            return self.ondemand_max_series_per_address
        return max(1, self.ondemand_max_jobs // 2)

    @property
    def uses_local_exchange(self) -> bool:
        """Whether the address of a local exchange is set."""
        return self.sim_url != Switches.__dataclass_fields__["sim_url"].default

    @property
    def collects_metrics(self) -> bool:
        """Whether metrics are collected."""
        return self.enable_runtime_metrics or self.enable_capacity_metrics

    @property
    def ingest_jobs_enabled(self) -> bool:
        """Whether this process may start ingest jobs: a guarded read-only instance may not."""
        return not self.enable_ingest_role_guard or self.ingest_role != "read"

    @property
    def ingest_can_be_requested(self) -> bool:
        """Whether leases and backfill requests of this process can be answered.

        Workers answer those of every web process, whatever its role. A process that ingests itself
        answers its own, if its role allows it.
        """
        return self.ingest_jobs_enabled or not self.ingest_in_process


def refuse_unused(environment: Mapping[str, str]) -> None:
    """Raise SwitchError if an address is set and its switch is neither on nor off.

    Otherwise a process would run in memory, and look as if it used the server that is named.
    """
    for address, switch in NEEDED_FOR.items():
        if environment.get(address) and not environment.get(switch):
            raise SwitchError(
                f"{switch.removeprefix(PREFIX).lower()}_required_by_{address.lower()}:"
                f" {address} is set; set {switch} to 1 to use it, or to 0 to run in memory"
            )


def _read(text: str, default: Any, metadata: Mapping[str, Any]) -> Any:
    if isinstance(default, bool):
        return text.strip().lower() in TRUE_WORDS
    if isinstance(default, str):
        return text.strip()
    try:
        number = type(default)(text)
    except ValueError:
        return default
    return max(number, metadata["minimum"]) if math.isfinite(number) else default
