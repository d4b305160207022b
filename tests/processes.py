"""Real processes for tests that cross them: servers, web, worker, beat, local exchange.

    def test_two_instances(stack):
        first, second = stack.web(), stack.web()
        stack.worker(); stack.beat()

A stack has a Valkey and a database of its own (cloned from one that is migrated once a session),
and ends every process it started. When a test fails, the processes' last lines are printed.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg2

from trade_canvas.embedded import EmbeddedServer, start_valkey
from trade_canvas.embedded.server import free_port

ROOT = Path(__file__).parents[1]
MANAGE = str(ROOT / "manage.py")
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0
POLL_S = 0.05
LINES_SHOWN = 60

SWITCHES = {
    "TRADE_CANVAS_ENABLE_PG_STORE": "1",
    "TRADE_CANVAS_ENABLE_WS_PUBSUB": "1",
    "TRADE_CANVAS_ENABLE_DEBUG_API": "1",
    "TRADE_CANVAS_ENABLE_DEV_API": "1",
    "TRADE_CANVAS_ENABLE_KLINE_HEALTH_V2": "1",
    # Write endpoints answer on loopback without a token.
    "DEBUG": "1",
    "PYTHONUNBUFFERED": "1",
}
# Set by the session's conftest where the offered server has TimescaleDB.
TIMESCALE = "TRADE_CANVAS_ENABLE_TIMESCALE"
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "SSL_CERT_FILE")

_numbers = itertools.count(1)


def wait_until(condition: Callable[[], Any], timeout_s: float, what: str) -> Any:
    """Poll until `condition` gives something true, and return that; fail after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while True:
        if outcome := condition():
            return outcome
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout_s:g} s for {what}")
        time.sleep(POLL_S)


def get(url: str, timeout_s: float = 10.0) -> tuple[int, Any]:
    """Return status and JSON body (None when it is no JSON) of a GET; status 0 without answer."""
    return _open(urllib.request.Request(url), timeout_s)


def post(url: str, body: Any, timeout_s: float = 10.0, headers: Mapping[str, str] = {}) -> Any:
    """Return status and JSON body of a POST of `body` as JSON."""
    data = json.dumps(body).encode()
    headers = {"Content-Type": "application/json", **headers}
    return _open(urllib.request.Request(url, data, headers), timeout_s)


def delete(url: str, timeout_s: float = 10.0) -> tuple[int, Any]:
    """Return status and JSON body of a DELETE."""
    return _open(urllib.request.Request(url, method="DELETE"), timeout_s)


def _open(request: urllib.request.Request, timeout_s: float) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as response:
            return response.status, _json(response.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, _json(error.read())
    except OSError:
        return 0, None


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


@dataclass
class RunningProcess:
    """A process of ours with its output in a file."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    url: str = ""

    @property
    def pid(self) -> int:
        return self.process.pid

    def is_running(self) -> bool:
        return self.process.poll() is None

    def output(self) -> str:
        # A test's folder, and the log in it, may be gone when its failure is reported.
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def wait_for_line(self, text: str, timeout_s: float = START_TIMEOUT_S) -> None:
        """Wait until the output holds `text`; fail at once when the process has ended."""

        def has_line() -> bool:
            found = text in self.output()
            assert found or self.is_running(), f"{self.name} ended:\n{self.output()[-3000:]}"
            return found

        wait_until(has_line, timeout_s, f"{text!r} from {self.name}:\n{self.output()[-3000:]}")

    def terminate(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """End the process with SIGTERM and return its status; fail when it does not end."""
        return self.signal_and_wait(signal.SIGTERM, timeout_s)

    def kill(self) -> None:
        """End the process at once, as a crash would."""
        self.signal_and_wait(signal.SIGKILL, STOP_TIMEOUT_S)

    def signal_and_wait(self, number: signal.Signals, timeout_s: float) -> int:
        if self.is_running():
            self.process.send_signal(number)
        return self.process.wait(timeout_s)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, SIGSTOP and SIGCONT for instance, without waiting."""
        self.process.send_signal(number)


def launch(
    name: str, command: list[str], *, environment: Mapping[str, str], directory: Path
) -> RunningProcess:
    """Start a process in the checkout with exactly this environment, its output in a file."""
    log = directory / f"{name}-{next(_numbers)}.log"
    inherited = {key: os.environ[key] for key in INHERITED if key in os.environ}
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**inherited, **environment},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    return RunningProcess(name, process, log)


def manage(*arguments: str) -> list[str]:
    """The command line of one of our commands."""
    return [sys.executable, MANAGE, *arguments]


def celery(*arguments: str) -> list[str]:
    """The command line of a Celery program."""
    return [sys.executable, "-W", "ignore", "-m", "celery", "-A", "trade_canvas", *arguments]


@dataclass
class Stack:
    """One database, one Valkey, and the processes started on them."""

    directory: Path
    database_url: str
    valkey: EmbeddedServer
    processes: list[RunningProcess] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    """Added to every process started from now on."""

    def web(
        self,
        *,
        wait: bool = True,
        server: str = "uvicorn",
        port: int | None = None,
        **switches: str,
    ) -> RunningProcess:
        """Start a web process (on a free port); `switches` are variables for this one process."""
        port = port or free_port()
        command = manage("web", "--port", str(port), "--server", server)
        process = self.start("web", command, switches)
        process.url = f"http://127.0.0.1:{port}"
        if wait:
            self.wait_ready(process)
        return process

    def wait_ready(self, process: RunningProcess) -> None:
        """Wait until the web process answers /readyz with 200."""

        def is_ready() -> bool:
            assert process.is_running(), f"web ended:\n{process.output()[-3000:]}"
            return get(f"{process.url}/readyz")[0] == 200

        wait_until(is_ready, START_TIMEOUT_S, "the web process to be ready")

    def worker(
        self,
        *,
        wait: bool = True,
        queues: str = "control,follow,backfill,build",
        threads: int = 16,
        **switches: str,
    ) -> RunningProcess:
        """Start a Celery worker with the threads pool."""
        options = ["--pool", "threads", "--concurrency", str(threads), "--queues", queues]
        options += ["--loglevel", "INFO", "--without-gossip", "--without-mingle"]
        node = f"worker{next(_numbers)}@%h"
        process = self.start("worker", celery("worker", *options, "-n", node), switches)
        if wait:
            process.wait_for_line(" ready.")
        return process

    def beat(self, *, wait: bool = True, **switches: str) -> RunningProcess:
        """Start Celery's beat."""
        options = ["--scheduler", "celery.beat:Scheduler", "--loglevel", "INFO"]
        process = self.start("beat", celery("beat", *options), switches)
        if wait:
            process.wait_for_line("beat: Starting")
        return process

    def installation(self, **switches: str) -> RunningProcess:
        """Start web, worker and beat side by side; return the web process when all are ready."""
        web = self.web(wait=False, **switches)
        worker, beat = self.worker(wait=False, **switches), self.beat(wait=False, **switches)
        worker.wait_for_line(" ready.")
        beat.wait_for_line("beat: Starting")
        self.wait_ready(web)
        return web

    def local_exchange(self, *options: str, **switches: str) -> RunningProcess:
        """Start a local exchange on a free port; every process started later follows it."""
        port = free_port()
        command = manage("local_exchange", "--port", str(port), *options)
        process = self.start("exchange", command, switches)
        process.wait_for_line("local exchange ready on")
        process.url = f"http://127.0.0.1:{port}"
        self.environment["TRADE_CANVAS_SIM_URL"] = process.url
        return process

    def manage(self, *arguments: str, **switches: str) -> str:
        """Run one of our commands to its end and return its output; fail when it fails."""
        process = self.start(arguments[0], manage(*arguments), switches)
        status = process.process.wait(START_TIMEOUT_S)
        assert status == 0, f"{arguments} ended with {status}:\n{process.output()[-3000:]}"
        return process.output()

    def start(
        self, name: str, command: list[str], switches: Mapping[str, str] = {}
    ) -> RunningProcess:
        """Start any command on this stack."""
        environment = {
            **SWITCHES,
            "DATA_DIR": str(self.directory),
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.valkey.url,
            **self.environment,
            **switches,
        }
        process = launch(name, command, environment=environment, directory=self.directory)
        self.processes.append(process)
        return process

    def sql(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Run one statement on the stack's database and return its rows."""
        return run_sql(self.database_url, query, *parameters)

    def close(self) -> None:
        """End every process and the Valkey."""
        for process in reversed(self.processes):
            if process.is_running():
                process.process.send_signal(signal.SIGCONT)
                process.process.terminate()
        for process in self.processes:
            try:
                process.process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
        self.valkey.stop()

    def show(self) -> str:
        """The last lines of every process, for the report of a failed test."""
        parts = []
        for process in self.processes:
            lines = process.output().splitlines()[-LINES_SHOWN:]
            state = "running" if process.is_running() else f"ended {process.process.returncode}"
            parts.append(f"--- {process.name} ({state}) ---\n" + "\n".join(lines))
        return "\n".join(parts)


def open_stack(directory: Path, template_url: str) -> Stack:
    """Make a database out of the migrated one, and a Valkey; the caller closes the stack."""
    name = f"stack_{os.getpid()}_{next(_numbers)}"
    template = urlsplit(template_url).path.strip("/")
    run_sql(server_url(template_url), f"CREATE DATABASE {name} TEMPLATE {template}")
    return Stack(directory, with_database(template_url, name), start_valkey(directory))


def drop_database(url: str) -> None:
    """Drop the database of this address, whoever is connected."""
    name = urlsplit(url).path.strip("/")
    run_sql(server_url(url), f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def make_template(url: str, directory: Path) -> str:
    """Make and migrate a database beside the one of `url`; return its address.

    Nobody can connect to it afterwards: PostgreSQL clones no database that is in use, and
    TimescaleDB has workers that look into every one.
    """
    name = f"template_{os.getpid()}"
    template = with_database(url, name)
    drop_database(template)
    run_sql(server_url(url), f"CREATE DATABASE {name}")
    environment = {**SWITCHES, "TRADE_CANVAS_ENABLE_WS_PUBSUB": "0"}
    environment |= {"DATABASE_URL": template, "DATA_DIR": str(directory)}
    environment[TIMESCALE] = os.environ.get(TIMESCALE, "0")
    command = manage("migrate", "--verbosity", "0")
    process = launch("migrate", command, environment=environment, directory=directory)
    assert process.process.wait(START_TIMEOUT_S) == 0, process.output()
    server = server_url(url)
    run_sql(server, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    ends = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s"
    run_sql(server, ends, name)
    return template


def with_database(url: str, name: str) -> str:
    """The same server's address with another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def server_url(url: str) -> str:
    """The server's own database, from which others are made and dropped."""
    return with_database(url, "postgres")


def run_sql(url: str, query: str, *parameters: object) -> list[tuple[Any, ...]]:
    """Run one statement outside any transaction and return its rows."""
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(query, parameters or None)
            return cursor.fetchall() if cursor.description else []
