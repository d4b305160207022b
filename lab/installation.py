"""The real installation on one machine, in a folder of its own, to be measured or disturbed.

    with Installation(folder, switches) as installation:
        installation.local_exchange()
        installation.start_all(webs=2)
        installation.workers[0].kill()

Servers and programs are those of `up`, on free ports. Nothing is restarted by itself.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Self, TypeVar

from lab.database import run_sql
from lab.exchange import Exchange
from lab.http import get
from lab.line import Line
from lab.lines import Lines
from lab.program import LabFailed, Program, inherited, manage
from market.ingest.pools import EVERYTHING, Pool
from trade_canvas.embedded import EmbeddedServer, start_postgres, start_valkey
from trade_canvas.embedded.server import free_port
from trade_canvas.switches import PREFIX
from trade_canvas.up.plan import HOST, plan, web_program, worker_program

AnyProgram = TypeVar("AnyProgram", bound=Program)


class Installation:
    """Servers and programs; a context manager that ends everything it started.

    `directory` must be passable by the servers' account (`passable_folder`). Without
    `database_url` it has a PostgreSQL of its own; tables are made by `manage("migrate")`. Without
    `redis_url` it has a Valkey of its own. With `faults`, every program reaches the servers over
    lines that can be cut and has a clock that can be put off. Logs go to `logs`, `directory`/logs
    if not given.
    """

    def __init__(
        self,
        directory: Path,
        switches: Mapping[str, str],
        *,
        database_url: str = "",
        redis_url: str = "",
        faults: bool = False,
        logs: Path | None = None,
    ) -> None:
        self.directory = directory
        self.logs = logs or directory / "logs"
        self.environment = dict(switches)
        """Variables of every program started from now on."""
        self.database_url = database_url
        self.redis_url = redis_url
        self.series: tuple[str, ...] = ()
        """The whitelisted series."""
        self.servers: list[EmbeddedServer] = []
        self.programs: list[Program] = []
        """Every program that was started, in that order."""
        self.webs: list[Program] = []
        self.workers: list[Program] = []
        self.beats: list[Program] = []
        self.lines = Lines()
        """With `faults`, what connects the programs to the servers; and `front`."""
        self._faults = faults

    # Starting and ending

    def __enter__(self) -> Self:
        try:
            if not self.database_url:
                self.servers.append(start_postgres(self.directory))
                self.database_url = self.servers[0].url
            if not self.redis_url:
                self.servers.append(start_valkey(self.directory))
                self.redis_url = self.valkey.url
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def close(self) -> None:
        """End the programs, then the servers, and keep the servers' logs."""
        self.stop_programs()
        for line in self.lines:
            line.close()
        for server in reversed(self.servers):
            with suppress(Exception):
                server.stop()
        for path in (self.directory / "logs").glob("*.log"):
            if not (self.logs / path.name).exists():
                shutil.copy(path, self.logs / path.name)

    def stop_programs(self) -> None:
        """End the programs, and last the exchange that they read from."""
        exchanges = [each for each in self.programs if isinstance(each, Exchange)]
        for group in ([each for each in self.programs if each not in exchanges], exchanges):
            for each in group:
                each.ask_to_end()
            for each in group:
                each.terminate()

    def check(self) -> None:
        """Raise LabFailed when a program or server ended unexpectedly."""
        for each in self.programs:
            if each.has_failed:
                raise each.failure("ended")
        for server in self.servers:
            if not server.is_running():
                raise LabFailed(f"{server.name} ended")

    # Its parts

    @property
    def postgres(self) -> EmbeddedServer:
        """Its own database server: `.stop()`, `.kill()`, `.start()`."""
        return self.servers[0]

    @property
    def valkey(self) -> EmbeddedServer:
        """The bus and broker."""
        return self.servers[-1]

    @property
    def exchange(self) -> Exchange:
        """The local exchange. Raises LabFailed without one."""
        for each in self.programs:
            if isinstance(each, Exchange):
                return each
        raise LabFailed("there is no local exchange")

    @property
    def services(self) -> list[Program]:
        """Web processes, workers and beats, in the order in which they are replaced."""
        return [*self.webs, *self.workers, *self.beats]

    @property
    def front(self) -> Line:
        """One address for all web processes that there are when it is first used."""
        return self.lines.front(web.url for web in self.webs)

    @property
    def url(self) -> str:
        """The address for watchers."""
        return f"http://{HOST}:{self.front.port}"

    # Starting programs

    def start_all(
        self,
        *,
        webs: int = 1,
        pools: Sequence[Pool] = (EVERYTHING,),
        beats: int = 1,
        **switches: str,
    ) -> Program:
        """Start so many of each at once, wait until all are ready, return the first web process.

        There is a worker for each of `pools`.
        """
        # No switch is named like an argument.
        programs = [self.web(wait=False, **switches) for _ in range(webs)]  # type: ignore[arg-type]
        programs += [self.worker(pool, wait=False, **switches) for pool in pools]
        programs += [self.beat(wait=False, **switches) for _ in range(beats)]
        for each in programs:
            each.wait_ready()
        return programs[0]

    def web(
        self,
        *,
        wait: bool = True,
        server: str = "uvicorn",
        port: int = 0,
        command: Sequence[str] = (),
        **switches: str,
    ) -> Program:
        """Start a web process, on a free port if none is given.

        `switches` are variables of this process alone; `command` is another program that serves,
        and gets the port as its last argument.
        """
        port = port or free_port()
        url = f"http://{HOST}:{port}"
        usual = (*web_program(port).command, "--server", server)
        web = self.start(
            f"web-{len(self.webs) + 1}",
            (*command, str(port)) if command else usual,
            switches,
            url=url,
            is_ready=lambda _: get(f"{url}/readyz")[0] == 200,
        )
        self.webs.append(web)
        return web.wait_ready() if wait else web

    def worker(self, pool: Pool = EVERYTHING, *, wait: bool = True, **switches: str) -> Program:
        """Start a Celery worker; its `url` shows its metrics if they are switched on."""
        alike = [each for each in self.workers if each.name.startswith(pool.name)]
        name, port = _numbered(pool.name, alike), free_port()
        worker = self.start(
            name,
            worker_program(pool, name=name).command,
            {f"{PREFIX}METRICS_PORT": str(port), **switches},
            url=f"http://{HOST}:{port}",
            is_ready=lambda program: " ready." in program.output(),
        )
        self.workers.append(worker)
        return worker.wait_ready() if wait else worker

    def beat(self, *, wait: bool = True, **switches: str) -> Program:
        """Start Celery's beat."""
        beat = self.start(
            _numbered("beat", self.beats),
            (*_planned("beat"), "--loglevel", "INFO"),
            switches,
            is_ready=lambda program: "beat: Starting" in program.output(),
        )
        self.beats.append(beat)
        return beat.wait_ready() if wait else beat

    def local_exchange(self, *options: str, **switches: str) -> Exchange:
        """Start a local exchange; every program started later follows it."""
        port = free_port()
        exchange = self._start(
            Exchange,
            "exchange",
            (*_planned("exchange", port), *options),
            switches,
            url=f"http://{HOST}:{port}",
            is_ready=lambda program: "local exchange ready on" in program.output(),
        )
        self.environment[f"{PREFIX}SIM_URL"] = exchange.url
        return exchange.wait_ready()

    def manage(self, *arguments: str, **switches: str) -> str:
        """Run a management command to its end and return its output. Raises LabFailed."""
        program = self.start(arguments[0], manage(*arguments), switches)
        if status := program.wait():
            raise program.failure(f"ended with status {status}")
        return program.output()

    def start(
        self,
        name: str,
        command: Sequence[str],
        switches: Mapping[str, str] | None = None,
        *,
        url: str = "",
        is_ready: Callable[[Program], bool] | None = None,
    ) -> Program:
        """Start any command on the servers of this installation."""
        return self._start(Program, name, command, switches or {}, url=url, is_ready=is_ready)

    def _start(
        self,
        kind: type[AnyProgram],
        name: str,
        command: Sequence[str],
        switches: Mapping[str, str],
        *,
        url: str,
        is_ready: Callable[[Program], bool] | None,
    ) -> AnyProgram:
        named_alike = sum(each.name == name for each in self.programs)
        program = kind(
            name,
            command,
            {**inherited(), **self._addresses(name), **self.environment, **switches},
            log=self.logs / (f"{name}.{named_alike}.log" if named_alike else f"{name}.log"),
            url=url,
            is_ready=is_ready,
            clock=self.directory / f"{name}.clock" if self._faults else None,
        )
        self.programs.append(program)
        return program.start()

    def _addresses(self, name: str) -> dict[str, str]:
        database_url, redis_url = self.database_url, self.redis_url
        if self._faults:
            database_url = self.lines.to_store(name, database_url)
            redis_url = self.lines.to_bus(name, redis_url)
        return {
            "DATA_DIR": str(self.directory),
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "PYTHONUNBUFFERED": "1",
        }

    # Changing what runs

    def restore(self) -> None:
        """End every fault and start the services that do not run."""
        for line in self.lines:
            line.heal()
        self.exchange.clear()
        for each in self.services:
            each.set_clock(0.0)
        _start_together(each for each in self.services if not each.is_running)

    def run_as(self, switches: Mapping[str, str], *, one_process: bool = False) -> None:
        """End all services in an orderly way and start them again with these switches.

        As `one_process`, only the first web process is started.
        """
        with ThreadPoolExecutor() as pool:
            list(pool.map(Program.terminate, self.services))
        _start_together(self.webs[:1] if one_process else self.services, **switches)

    def run_as_made(self) -> None:
        """End all services and start them again with the switches that they were made with.

        For the end of a drill that ran them with others: the next one must not find those.
        """
        for service in self.services:
            service.forget_variables()
        self.run_as({})

    def replace_postgres(self, server: EmbeddedServer) -> None:
        """Have every program reach another database server, as after a failover."""
        self.servers[0], self.database_url = server, server.url
        self.lines.move_stores(server.port)

    # The database

    @property
    def prefix(self) -> str:
        """What every key of this installation in Valkey begins with."""
        ((installation_id,),) = self.sql("SELECT installation_id FROM installation")
        return f"trade_canvas:{{{installation_id}}}:"

    def sql(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Run one statement on the database, past every line, and return its rows."""
        return run_sql(self.database_url, query, *parameters)

    def whitelist(self, series: Iterable[str]) -> None:
        """Have series followed whether watched or not."""
        for each in series:
            self.sql("INSERT INTO whitelist (series_id, enabled) VALUES (%s, true)", each)
            self.series += (each,)

    def heads(self) -> dict[str, int]:
        """Return the open time of the newest stored candle of every series that has one."""
        rows = self.sql("SELECT name, head_time FROM series WHERE head_time IS NOT NULL")
        return dict(rows)

    def stored(self, series: str, first: int, last: int) -> list[dict[str, Any]]:
        """Return the stored candles between two open times, inclusive."""
        names = ("candle_time", "open", "high", "low", "close", "volume")
        rows = self.sql(
            f"SELECT {', '.join(names)} FROM candles JOIN series ON series.id = series_id"
            " WHERE name = %s AND candle_time BETWEEN %s AND %s ORDER BY candle_time",
            *(series, first, last),
        )
        return [dict(zip(names, row, strict=True)) for row in rows]

    def truth(self, series: str, first: int, last: int) -> list[dict[str, Any]]:
        """Return the exchange's closed candles between two open times, inclusive."""
        return self.exchange.truth(series, first, last)

    def show(self) -> str:
        """Return the last lines of every program, for the report of a failed test."""
        return "\n".join(each.show() for each in self.programs)


@contextmanager
def passable_folder(prefix: str = "trade_canvas-lab-") -> Iterator[Path]:
    """A temporary folder that the embedded servers' account can pass through."""
    with ExitStack() as stack:
        path = Path(tempfile.mkdtemp(prefix=prefix))
        stack.callback(shutil.rmtree, path, ignore_errors=True)
        path.chmod(0o711)
        yield path


def _numbered(name: str, others: Sequence[Program]) -> str:
    return f"{name}-{len(others) + 1}" if others else name


def _planned(name: str, port: int = 0) -> tuple[str, ...]:
    """Return the command of one of the programs that `up` would start."""
    made = plan({}, exchange_port=port)
    return next(each.command for each in (*made.sources, *made.programs) if each.name == name)


def _start_together(programs: Iterable[Program], **switches: str) -> None:
    started = [each.start(**switches) for each in programs]
    for each in started:
        each.wait_ready()
