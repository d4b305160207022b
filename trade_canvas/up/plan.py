"""What `up` starts, worked out from the environment alone."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from market.ingest.pools import POOLS, Pool
from trade_canvas import environment as installation
from trade_canvas.switches import PREFIX, Switches

HOST = "127.0.0.1"
LOCAL_EXCHANGE = "sim"
MANAGE = str(installation.BASE_DIR / "manage.py")

# Variables that are set win over these.
DEFAULTS = {
    "DEBUG": "1",
    f"{PREFIX}ENABLE_PG_STORE": "1",
    f"{PREFIX}ENABLE_WS_PUBSUB": "1",
    f"{PREFIX}ENABLE_WS_PUSH": "1",
    f"{PREFIX}ENABLE_DENSE_LEDGER": "1",
    f"{PREFIX}ENABLE_WHITELIST_INGEST": "1",
    f"{PREFIX}ENABLE_ONDEMAND_INGEST": "1",
    f"{PREFIX}ONDEMAND_MAX_JOBS": "8",
    # On one's own machine nearly all of them come from one address.
    f"{PREFIX}ONDEMAND_MAX_SERIES_PER_ADDRESS": "7",
    f"{PREFIX}ENABLE_DEBUG_API": "1",
    f"{PREFIX}ENABLE_KLINE_HEALTH_V2": "1",
    f"{PREFIX}ENABLE_COMPACT_HISTORY": "1",
    f"{PREFIX}ENABLE_CANDLE_EXPORT": "1",
    f"{PREFIX}ENABLE_INGEST_LOOP_GUARDRAIL": "1",
    f"{PREFIX}ENABLE_MARKET_GAP_BACKFILL": "1",
    f"{PREFIX}ENABLE_MARKET_AUTO_TAIL_BACKFILL": "1",
    f"{PREFIX}MARKET_AUTO_TAIL_BACKFILL_MAX_CANDLES": "2000",
    f"{PREFIX}ENABLE_CCXT_BACKFILL": "1",
    f"{PREFIX}ENABLE_REVISION_CHECK": "1",
    f"{PREFIX}ENABLE_STARTUP_KLINE_SYNC": "1",
}
DEMO_SERIES = {
    LOCAL_EXCHANGE: (
        "sim:futures:BTC/USDT:1m",
        "sim:futures:BTC/USDT:1s",
        "sim:spot:BTC/USDT:1m",
        "sim:spot:ETH/USDT:1m",
        "sim:spot:ETH/USDT:5m",
    ),
    "binance": ("binance:futures:BTC/USDT:1m", "binance:spot:BTC/USDT:1m"),
}


class PlanError(Exception):
    """The environment is invalid; the message is for the user."""


@dataclass(frozen=True, slots=True)
class Program:
    """One process of the installation."""

    name: str
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything `up` starts: servers, programs in their order, and their environment."""

    environment: Mapping[str, str]
    switches: Switches
    data_dir: Path
    exchange: str
    port: int
    with_postgres: bool
    with_valkey: bool
    sources: tuple[Program, ...]
    """Stopped after the programs that read from them."""
    programs: tuple[Program, ...]
    prepare: Program

    @property
    def url(self) -> str:
        """The page."""
        return f"http://{HOST}:{self.port}/"

    @property
    def demo_series(self) -> tuple[str, ...]:
        """The series followed from the start when nothing of the exchange is whitelisted."""
        return demo_series(self.exchange)


def demo_series(exchange: str) -> tuple[str, ...]:
    """Return the demo series of an exchange: those in DEMO_SERIES, or its spot BTC/USDT."""
    return DEMO_SERIES.get(exchange, (f"{exchange}:spot:BTC/USDT:1m",))


def plan(given: Mapping[str, str], *, exchange_port: int) -> Plan:
    """Work out what to start; raise PlanError or SwitchError for an environment that can't be."""
    exchange = given.get("EXCHANGE") or LOCAL_EXCHANGE
    data_dir = installation.data_directory(given)
    own_exchange = exchange == LOCAL_EXCHANGE and not given.get(f"{PREFIX}SIM_URL")
    environment = {**DEFAULTS, **given, "DATA_DIR": str(data_dir), "EXCHANGE": exchange}
    # The children's output goes through a pipe, and is printed line by line.
    environment["PYTHONUNBUFFERED"] = "1"
    if own_exchange:
        environment[f"{PREFIX}SIM_URL"] = f"http://{HOST}:{exchange_port}"
    switches = Switches.from_environment(environment)
    if not switches.enable_pg_store:
        environment.setdefault(f"{PREFIX}WHITELIST_PATH", str(data_dir / "whitelist.json"))
    port = _port(given.get("PORT") or "8000")
    return Plan(
        environment=environment,
        switches=Switches.from_environment(environment),
        data_dir=data_dir,
        exchange=exchange,
        port=port,
        with_postgres=switches.enable_pg_store and not given.get("DATABASE_URL"),
        with_valkey=switches.enable_ws_pubsub and not given.get("REDIS_URL"),
        sources=(_local_exchange(exchange_port),) if own_exchange else (),
        programs=_programs(port, switches),
        prepare=Program("prepare", _manage("prepare", "--exchange", exchange)),
    )


def _programs(port: int, switches: Switches) -> tuple[Program, ...]:
    web = web_program(port)
    if switches.ingest_in_process:
        return (web,)
    return (
        web,
        *(worker_program(pool) for pool in POOLS),
        # All intervals are short: when each task last ran need not be kept.
        Program("beat", _celery("beat", "--scheduler", "celery.beat:Scheduler", "-l", "WARNING")),
    )


def worker_program(pool: Pool, *, name: str = "") -> Program:
    """Return a worker process of a pool; several on one machine need names of their own."""
    name = name or pool.name
    return Program(name, _celery("worker", *pool.options, f"--hostname={name}@%h"))


def web_program(port: int, *, name: str = "web") -> Program:
    """Return a web process on a port of this machine."""
    return Program(name, _manage("web", "--host", HOST, "--port", str(port)))


def _local_exchange(port: int) -> Program:
    return Program("exchange", _manage("local_exchange", "--host", HOST, "--port", str(port)))


def _manage(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, MANAGE, *arguments)


def _celery(*arguments: str) -> tuple[str, ...]:
    # In a container root is the only account, and the tasks are our own.
    warnings = "ignore:You're running the worker with superuser privileges"
    celery = (sys.executable, "-W", warnings, "-m", "celery", "--quiet", "-A", "trade_canvas")
    return (*celery, *arguments)


def _port(text: str) -> int:
    if not text.isdigit() or not 0 < int(text) < 65_536:
        raise PlanError(f"PORT must be a number from 1 to 65535, not {text!r}")
    return int(text)
