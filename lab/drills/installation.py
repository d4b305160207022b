"""A scaled-out installation on one machine: embedded servers, several webs, workers and beats.

Every part reaches PostgreSQL and Valkey over a line of its own that can be cut, and watchers reach
the web processes over one address that is shared out among them.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from lab.capacity.topology import INHERITED, get, run_sql, wait_for
from lab.drills.line import HOST, Line
from lab.drills.program import DrilledProgram
from lab.drills.requests import send
from trade_canvas.embedded import EmbeddedServer, start_postgres, start_valkey
from trade_canvas.embedded.server import free_port
from trade_canvas.switches import PREFIX
from trade_canvas.up.plan import MANAGE

TOKEN = secrets.token_urlsafe(32)
WORKER_THREADS = "16"
FIRST_CANDLE_S = 60.0
START_TIMEOUT_S = 90.0

# What is not said here is as an operator would have it: the times are the defaults.
SWITCHES = {
    "DEBUG": "0",
    "SECRET_KEY": secrets.token_urlsafe(48),
    "LOG_LEVEL": "INFO",
    f"{PREFIX}ENABLE_PG_STORE": "1",
    f"{PREFIX}ENABLE_WS_PUBSUB": "1",
    f"{PREFIX}ENABLE_WHITELIST_INGEST": "1",
    f"{PREFIX}ENABLE_ONDEMAND_INGEST": "1",
    f"{PREFIX}ENABLE_DEBUG_API": "1",
    f"{PREFIX}ENABLE_CCXT_BACKFILL": "1",
    f"{PREFIX}ENABLE_INGEST_LOOP_GUARDRAIL": "1",
    f"{PREFIX}STARTUP_KLINE_SYNC_TARGET_CANDLES": "2000",
    f"{PREFIX}INGEST_TOKEN": TOKEN,
    # A thousand watchers on one machine, beside all that they watch.
    f"{PREFIX}MARKET_FORMING_MIN_INTERVAL_MS": "1000",
}
SERIES = tuple(f"sim:futures:{base}/USDT:1s" for base in ("BTC", "ETH", "SOL", "XRP"))


def with_port(url: str, port: int) -> str:
    """The same address on another port."""
    parts = urlsplit(url)
    credentials = parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{credentials}@{HOST}:{port}"))


def celery(*arguments: str) -> list[str]:
    """A Celery program's arguments for Python."""
    return ["-W", "ignore", "-m", "celery", "-A", "trade_canvas", *arguments]


def port_of(url: str) -> int:
    """The port in an address."""
    port = urlsplit(url).port
    assert port is not None
    return port


class Installation:
    """Two of everything that may run twice. Use `installed()`.

    `buses` and `stores` are the lines to Valkey and PostgreSQL by the name of the process that
    uses them; `front` is the address of all web processes.
    """

    def __init__(self, folder: Path, *, series: tuple[str, ...] = SERIES) -> None:
        self.folder = folder
        self.series = series
        self.postgres: EmbeddedServer = start_postgres(folder)
        self.valkey: EmbeddedServer = start_valkey(folder)
        self.buses: dict[str, Line] = {}
        self.stores: dict[str, Line] = {}
        self.switches = dict(SWITCHES)
        self._inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        self._run_migrations()
        self.exchange = self._exchange()
        self.webs = [self._web(f"web{number}") for number in (1, 2)]
        self.workers = [self._worker(f"worker{number}") for number in (1, 2)]
        self.beats = [self._beat(f"beat{number}") for number in (1, 2)]
        self.front = Line([port_of(web.url) for web in self.webs]).start()

    @property
    def programs(self) -> list[DrilledProgram]:
        """Everything of ours, in the order in which it is rolled."""
        return [*self.webs, *self.workers, *self.beats]

    # Starting and ending

    def start(self) -> None:
        """Start what does not run, all at once, and wait until every series moves."""
        self.exchange.start().wait_until_ready()
        self._pin()
        self.restore()
        with ThreadPoolExecutor() as pool:
            list(pool.map(self._wait_for_candle, self.series))

    def _wait_for_candle(self, series: str) -> None:
        wait_for(lambda: self.head(series), FIRST_CANDLE_S, f"a candle of {series}")

    def restore(self) -> None:
        """Heal every line, set every clock right and start what does not run."""
        for line in (*self.buses.values(), *self.stores.values(), self.front):
            line.heal()
        self.clear_faults()
        down = [program for program in self.programs if not program.is_running]
        for program in self.programs:
            program.set_clock(0.0)
        for program in down:
            program.start()
        for program in down:
            program.wait_until_ready()

    def run_as(self, switches: Mapping[str, str], *, one_process: bool = False) -> None:
        """End everything of ours in an orderly way, and start it again with these switches.

        As `one_process`, one web process is all that is started.
        """
        with ThreadPoolExecutor() as pool:
            list(pool.map(DrilledProgram.terminate, self.programs))
        started = self.webs[:1] if one_process else self.programs
        for program in started:
            program.start(**switches)
        for program in started:
            program.wait_until_ready()

    def close(self) -> None:
        """End everything."""
        running = [each for each in (*self.programs, self.exchange) if each.is_running]
        with ThreadPoolExecutor() as pool:
            list(pool.map(DrilledProgram.kill, running))
        for line in (*self.buses.values(), *self.stores.values(), self.front):
            line.close()
        self.valkey.stop()
        self.postgres.stop()

    # What a drill asks

    def sql(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Run one statement on the database, past every line, and return its rows."""
        return run_sql(self.postgres.url, query, *parameters)

    def head(self, series: str) -> int | None:
        """The open time of the newest stored candle."""
        rows = self.sql("SELECT head_time FROM series WHERE name = %s", series)
        return rows[0][0] if rows else None

    def count(self) -> int:
        """How many candles are stored in all."""
        return int(self.sql("SELECT count(*) FROM candles")[0][0])

    def heads(self) -> dict[str, int]:
        """The same for every followed series."""
        return {series: self.head(series) or 0 for series in self.series}

    def stored(self, series: str, first: int, through: int) -> dict[int, list[float]]:
        """The stored candles between two open times, inclusive."""
        rows = self.sql(
            "SELECT candle_time, open, high, low, close, volume FROM candles"
            " JOIN series ON series.id = series_id"
            " WHERE name = %s AND candle_time BETWEEN %s AND %s",
            *(series, first, through),
        )
        return {moment: list(values) for moment, *values in rows}

    def truth(self, series: str, first: int, through: int) -> dict[int, list[float]]:
        """What the exchange has between two open times, inclusive."""
        _, market, symbol, interval = series.split(":")
        query = f"market={market}&symbol={symbol.replace('/', '')}&interval={interval}"
        status, answer = get(
            f"{self.exchange_url}/control/truth?{query}&start={first}&end={through}"
        )
        assert status == 200, answer
        return {each.pop("candle_time"): list(each.values()) for each in answer["candles"]}

    def fault(self, kind: str, details: Mapping[str, Any] = {}) -> None:
        """Put a fault of the exchange in force (docs/local-exchange.md)."""
        url = f"{self.exchange_url}/control/faults"
        status, answer = send("POST", url, {"kind": kind, **details})
        assert status == 201, answer

    def clear_faults(self) -> None:
        """End every fault of the exchange."""
        send("DELETE", f"{self.exchange_url}/control/faults")

    def owner(self) -> DrilledProgram:
        """The worker that follows the exchange now."""
        found = [each for each in self.workers if _follows(each)]
        return found[0] if found else self.workers[0]

    # The parts

    def _program(
        self, name: str, command: list[str], is_ready: Callable[[DrilledProgram], bool], **more: str
    ) -> DrilledProgram:
        environment = {**self._inherited, **self.switches, **self._addresses(name), **more}
        return DrilledProgram(
            name,
            [sys.executable, *command],
            environment=environment,
            logs=self.folder,
            is_ready=is_ready,
        )

    def _addresses(self, name: str) -> dict[str, str]:
        bus = self.buses[name] = Line([self.valkey.port]).start()
        store = self.stores[name] = Line([self.postgres.port]).start()
        return {
            "DATA_DIR": str(self.folder),
            "DATABASE_URL": with_port(self.postgres.url, store.port),
            "REDIS_URL": with_port(self.valkey.url, bus.port),
        }

    def _exchange(self) -> DrilledProgram:
        port = free_port()
        self.exchange_url = f"http://{HOST}:{port}"
        self.switches[f"{PREFIX}SIM_URL"] = self.exchange_url
        command = [MANAGE, "local_exchange", "--port", str(port)]
        return self._program("exchange", command, lambda it: "ready on" in it.output())

    def _web(self, name: str) -> DrilledProgram:
        port = free_port()
        url = f"http://{HOST}:{port}"
        command = [MANAGE, "web", "--port", str(port), "--server", "uvicorn"]
        web = self._program(name, command, lambda it: get(f"{url}/readyz")[0] == 200)
        web.url = url
        return web

    def _worker(self, name: str) -> DrilledProgram:
        options = ["--pool", "threads", "--concurrency", WORKER_THREADS, "--loglevel", "INFO"]
        options += ["--queues", "control,follow,backfill,build", "-n", f"{name}@%h"]
        command = celery("worker", *options, "--without-gossip", "--without-mingle")
        return self._program(name, command, lambda it: " ready." in it.output())

    def _beat(self, name: str) -> DrilledProgram:
        options = ["--scheduler", "celery.beat:Scheduler", "--loglevel", "INFO"]
        return self._program(
            name, celery("beat", *options), lambda it: "beat: Starting" in it.output()
        )

    def _run_migrations(self) -> None:
        migrate = self._program("migrate", [MANAGE, "migrate", "-v0"], lambda _: True)
        if migrate.start().wait(START_TIMEOUT_S):
            raise migrate.failure("failed")

    def _pin(self) -> None:
        for series in self.series:
            self.sql(
                "INSERT INTO whitelist (series_id, enabled) VALUES (%s, true)"
                " ON CONFLICT DO NOTHING",
                series,
            )


def _follows(worker: DrilledProgram) -> bool:
    told = worker.output()
    return worker.is_running and told.rfind(": following") > told.rfind(": released")


def _all_but_logs(folder: str, names: list[str]) -> list[str]:
    return [each for each in names if each != "logs" and not each.endswith(".log")]


@contextmanager
def installed(
    *, series: tuple[str, ...] = SERIES, logs: Path | None = None
) -> Iterator[Installation]:
    """An installation in a folder of its own, started and at work; gone afterwards.

    Its logs are copied to `logs` at the end.
    """
    # Passable by the account that the embedded servers run as.
    folder = Path(tempfile.mkdtemp(prefix="trade_canvas-drill-"))
    folder.chmod(0o711)
    installation = Installation(folder, series=series)
    try:
        installation.start()
        yield installation
    finally:
        installation.close()
        if logs is not None:
            shutil.copytree(folder, logs, ignore=_all_but_logs, dirs_exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
