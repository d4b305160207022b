"""The real installation on one machine, in a folder of its own: to be measured, or to be hurt.

    with Topology(directory, Layout(instances=2, series=local_series(20))) as topology:
        topology.program("worker").kill()

Embedded PostgreSQL and Valkey, N web processes, worker, beat and the local exchange, from the same
plan as `up`, all on free ports. Nothing is restarted by itself; `check` tells what ended.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from itertools import islice, product
from pathlib import Path
from types import TracebackType
from typing import Any

import psycopg2

from lab.capacity.programs import POLL_S, RunningProgram, TopologyFailed
from trade_canvas.embedded import EmbeddedServer, start_postgres, start_valkey
from trade_canvas.embedded.server import free_port
from trade_canvas.switches import PREFIX
from trade_canvas.up.plan import HOST, MANAGE, Plan, Program, plan, web_program

START_TIMEOUT_S = 90.0
FLOW_TIMEOUT_S = 180.0
REQUEST_TIMEOUT_S = 10.0
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "SSL_CERT_FILE", "TZ")
# A head this many candles old is still fresh: one is closing, one may be on its way.
FRESH_CANDLES = 3
HISTORY = 2000

SYMBOLS = ("BTC", "ETH", "SOL", "BNB", "XRP", "DOGE", "ADA", "LINK", "AVAX", "LTC")
MARKETS = ("spot", "futures")
INTERVALS = {"1s": 1, "1m": 60, "3m": 180, "5m": 300, "15m": 900, "30m": 1800, "1h": 3600}

# The machine's own addresses never go through a proxy of the environment.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def local_series(count: int) -> tuple[str, ...]:
    """The first `count` series of the local exchange, those of one second before all others."""
    every = product(INTERVALS, MARKETS, SYMBOLS)
    names = [f"sim:{market}:{coin}/USDT:{interval}" for interval, market, coin in every]
    if count > len(names):
        raise ValueError(f"the local exchange has {len(names)} series that suit, not {count}")
    return tuple(islice(names, count))


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What a topology consists of.

    `series` are whitelisted, so they are followed whether watched or not. `switches` are
    environment variables for every process, `web_switches` for the web processes alone;
    `exchange_options` are arguments of the local exchange.
    """

    instances: int = 2
    series: tuple[str, ...] = ()
    history: int = HISTORY
    switches: Mapping[str, str] = field(default_factory=dict)
    web_switches: Mapping[str, str] = field(default_factory=dict)
    exchange_options: tuple[str, ...] = ()


class Topology:
    """Starts what the layout asks for and holds it; a context manager, or `start` and `stop`.

    `directory` must be one that the servers' account can pass through (mode 711); `logs` gets one
    file a process, `directory`/logs if not given.
    """

    def __init__(self, directory: Path, layout: Layout, *, logs: Path | None = None) -> None:
        self.directory = directory
        self.layout = layout
        self.logs = logs or directory / "logs"
        self.servers: list[EmbeddedServer] = []
        self.programs: list[RunningProgram] = []
        self._plan: Plan | None = None
        self._worker_metrics_port = free_port()

    def __enter__(self) -> Topology:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.stop()

    # What it consists of

    @property
    def postgres(self) -> EmbeddedServer:
        """The database server: `.stop()`, `.kill()`, `.start()`, `.pid`."""
        return self.servers[0]

    @property
    def valkey(self) -> EmbeddedServer:
        """The bus and broker."""
        return self.servers[1]

    @property
    def webs(self) -> list[RunningProgram]:
        """The web processes that were started, in their order; names web-1, web-2, …"""
        return [each for each in self.programs if each.name.startswith("web-")]

    @property
    def web_urls(self) -> tuple[str, ...]:
        """The addresses of those that run now."""
        return tuple(web.url for web in self.webs if web.is_running)

    @property
    def environment(self) -> Mapping[str, str]:
        """What every program runs with. Raises TopologyFailed before `start`."""
        if self._plan is None:
            raise TopologyFailed("the topology was not started")
        return self._plan.environment

    @property
    def worker_metrics_url(self) -> str:
        """Where the worker shows its metrics, if the layout's switches let it."""
        return f"http://{HOST}:{self._worker_metrics_port}"

    def program(self, name: str) -> RunningProgram:
        """The program of a name: web-1, worker, beat, exchange. Raises KeyError."""
        for each in self.programs:
            if each.name == name:
                return each
        raise KeyError(name)

    # Start and stop

    def start(self) -> None:
        """Start everything and wait until the web processes are ready; raises TopologyFailed."""
        self.logs.mkdir(parents=True, exist_ok=True)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.servers.append(start_postgres(self.directory))
        self._keep_commit_times()
        self.servers.append(start_valkey(self.directory))
        self._plan = made = plan(self._environment(), exchange_port=free_port())
        exchange = self._exchange(made)
        self._run(Program("migrate", (*made.prepare.command[:1], MANAGE, "migrate", "-v0")))
        self._whitelist()
        self._wait_listening(exchange)
        webs = [self._start_web(made) for _ in range(self.layout.instances)]
        metrics_port = {f"{PREFIX}METRICS_PORT": str(self._worker_metrics_port)}
        for program in made.programs:
            if program.name != "web":
                self._start(program, switches=metrics_port if program.name == "worker" else {})
        for web in webs:
            self.wait_ready(web)

    def stop_programs(self) -> None:
        """Stop the programs, and last what they read from; the servers go on."""
        sources = [each for each in self.programs if each.name == "exchange"]
        for group in ([each for each in self.programs if each not in sources], sources):
            for each in group:
                each.ask_to_end()
            for each in group:
                each.terminate()

    def stop(self) -> None:
        """Stop the programs, then the servers; keep the servers' logs."""
        self.stop_programs()
        for server in reversed(self.servers):
            with suppress(Exception):
                server.stop()
        for path in (self.directory / "logs").glob("*.log"):
            if not (self.logs / path.name).exists():
                shutil.copy(path, self.logs / path.name)

    def add_web(
        self, command: Sequence[str] | None = None, *, wait: bool = True, **switches: str
    ) -> RunningProgram:
        """Start one more web process, with switches of its own.

        `command` is another way to serve; the port is added to it as its last argument.
        """
        assert self._plan is not None
        web = self._start_web(self._plan, command=command, switches=switches)
        if wait:
            self.wait_ready(web)
        return web

    def check(self) -> None:
        """Raise TopologyFailed when a program ended that nobody told to."""
        for each in self.programs:
            if each.has_failed:
                raise each.failure("ended")
        for server in self.servers:
            if not server.is_running():
                raise TopologyFailed(f"{server.name} ended")

    # Waiting

    def wait_ready(self, web: RunningProgram) -> None:
        """Wait until a web process answers /readyz with 200."""
        web.wait_until(lambda: get(f"{web.url}/readyz")[0] == 200, START_TIMEOUT_S, "ready")

    def wait_flowing(self, timeout_s: float = FLOW_TIMEOUT_S) -> None:
        """Wait until every series of the layout has its history and a fresh head."""
        deadline = time.monotonic() + timeout_s
        while waiting := self._not_flowing():
            self.check()
            if time.monotonic() > deadline:
                raise TopologyFailed(f"no fresh candles after {timeout_s:g} s: {waiting}")
            time.sleep(5 * POLL_S)

    def _not_flowing(self) -> list[str]:
        rows = self.sql(
            "SELECT name, head_time,"
            " (SELECT count(*) FROM candles WHERE candles.series_id = series.id) FROM series"
        )
        known = {name: (head, count) for name, head, count in rows}
        return [name for name in self.layout.series if not self._is_flowing(name, known.get(name))]

    def _is_flowing(self, name: str, facts: tuple[int | None, int] | None) -> bool:
        head, count = facts or (None, 0)
        if head is None:
            return False
        fresh = head + FRESH_CANDLES * seconds_of(name) > time.time()
        return fresh and count >= self.layout.history

    # The database

    def sql(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Run one statement on the topology's database and return its rows."""
        return run_sql(self.postgres.url, query, *values)

    # The exchange

    def truth(self, series: str, start: int, end: int) -> list[dict[str, Any]]:
        """The exchange's true closed candles, by open times in Unix seconds, inclusive."""
        _, market, symbol, interval = series.split(":")
        query = f"market={market}&symbol={symbol.replace('/', '')}&interval={interval}"
        exchange = self.program("exchange").url
        status, body = get(f"{exchange}/control/truth?{query}&start={start}&end={end}")
        if status != 200:
            raise TopologyFailed(f"the exchange answers {status}: {body}")
        return list(body["candles"])

    # Inside

    def _environment(self) -> dict[str, str]:
        """The variables of every process: nothing of the caller's own installation."""
        inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        switches = {name: value for name, value in os.environ.items() if name.startswith(PREFIX)}
        ours = {
            "DATA_DIR": str(self.directory),
            "DATABASE_URL": self.servers[0].url,
            "REDIS_URL": self.servers[1].url,
            "PORT": str(free_port()),
            "DEBUG": "0",
            # No series is turned away: what breaks first shall be the machine.
            f"{PREFIX}ONDEMAND_MAX_JOBS": "0",
            f"{PREFIX}STARTUP_KLINE_SYNC_TARGET_CANDLES": str(max(100, self.layout.history)),
        }
        switches.pop(f"{PREFIX}SIM_URL", None)
        return {**inherited, **switches, **ours, **self.layout.switches}

    def _keep_commit_times(self) -> None:
        """Have PostgreSQL write down when each transaction was committed; needs a restart."""
        self.sql("ALTER SYSTEM SET track_commit_timestamp = on")
        self.postgres.stop()
        self.postgres.start()

    def _exchange(self, made: Plan) -> RunningProgram:
        (source,) = made.sources
        command = (*source.command, *self.layout.exchange_options)
        return self._start(Program(source.name, command), url=made.switches.sim_url)

    def _start_web(
        self,
        made: Plan,
        *,
        command: Sequence[str] | None = None,
        switches: Mapping[str, str] | None = None,
    ) -> RunningProgram:
        port, name = free_port(), f"web-{len(self.webs) + 1}"
        program = web_program(port, name=name)
        if command is not None:
            program = Program(name, (*command, str(port)))
        own = {**self.layout.web_switches, **(switches or {})}
        return self._start(program, url=f"http://{HOST}:{port}", switches=own)

    def _start(
        self, program: Program, *, url: str = "", switches: Mapping[str, str] | None = None
    ) -> RunningProgram:
        environment = {**self.environment, **(switches or {})}
        running = RunningProgram(program, environment, logs=self.logs, url=url)
        self.programs.append(running)
        return running.start()

    def _run(self, program: Program) -> None:
        """Run a program to its end."""
        running = RunningProgram(program, self.environment, logs=self.logs).start()
        if running.wait(START_TIMEOUT_S):
            raise running.failure("failed")

    def _whitelist(self) -> None:
        for name in self.layout.series:
            self.sql("INSERT INTO whitelist (series_id, enabled) VALUES (%s, true)", name)

    def _wait_listening(self, exchange: RunningProgram) -> None:
        url = f"{exchange.url}/control/state"
        exchange.wait_until(lambda: get(url)[0] == 200, START_TIMEOUT_S, "listening")


def seconds_of(series: str) -> int:
    """The length of a candle of one of `local_series`."""
    return INTERVALS[series.rpartition(":")[2]]


def get_text(url: str, timeout_s: float = REQUEST_TIMEOUT_S) -> str:
    """Return the body of a GET that must succeed; raises TopologyFailed."""
    try:
        with _direct.open(url, timeout=timeout_s) as answer:
            return str(answer.read().decode())
    except OSError as error:
        raise TopologyFailed(f"{url}: {error}") from error


def get(url: str, timeout_s: float = REQUEST_TIMEOUT_S) -> tuple[int, Any]:
    """Return status and JSON body of a GET; status 0 when nobody answers, no body if no JSON."""
    try:
        with _direct.open(url, timeout=timeout_s) as answer:
            return answer.status, _json(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, _json(error.read())
    except OSError:
        return 0, None


def run_sql(url: str, query: str, *values: object) -> list[tuple[Any, ...]]:
    """Run one statement outside any transaction and return its rows."""
    with closing(psycopg2.connect(url, connect_timeout=30)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(query, values or None)
            return list(cursor.fetchall()) if cursor.description else []


def wait_for(condition: Callable[[], Any], timeout_s: float, what: str) -> Any:
    """Poll until `condition` gives something true and return that; raises TopologyFailed."""
    deadline = time.monotonic() + timeout_s
    while not (outcome := condition()):
        if time.monotonic() > deadline:
            raise TopologyFailed(f"waited {timeout_s:g} s for {what}")
        time.sleep(POLL_S)
    return outcome


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None
