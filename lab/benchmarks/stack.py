"""Real servers for the benchmarks: PostgreSQL, Valkey and web processes, gone afterwards."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import django

from trade_canvas import embedded

TOKEN = secrets.token_hex(8)
START_TIMEOUT_S = 40.0


@dataclass(slots=True)
class Stack:
    """A running database and bus, and the environment that points at them."""

    environment: dict[str, str]

    @contextlib.contextmanager
    def web(self) -> Iterator[Server]:
        """A web process of ours."""
        port = free_port()
        command = [sys.executable, "manage.py", "web", "--port", str(port)]
        with server(command, port, self.environment, "/readyz") as running:
            yield running

    @contextlib.contextmanager
    def limit(self, kind: str, *arguments: str) -> Iterator[Server]:
        """A bare server of benchmarks.bare_servers."""
        port = free_port()
        command = [sys.executable, "-m", "lab.benchmarks.bare_servers", kind, str(port), *arguments]
        with server(command, port, self.environment, None) as running:
            yield running


@dataclass(frozen=True, slots=True)
class Server:
    """A process that listens on `port`."""

    port: int
    pid: int

    def memory(self) -> int:
        """Resident bytes of the process."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


@contextlib.contextmanager
def stack(*, ledgers: bool = False) -> Iterator[Stack]:
    """Start PostgreSQL and Valkey in a temporary folder, migrate, and set this process up too.

    Without `ledgers` it is the candle path by itself; what factors and overlays add is measured
    apart.
    """
    directory = Path(tempfile.mkdtemp(prefix="trade_canvas-bench-"))
    directory.chmod(0o711)
    postgres, valkey = embedded.start_postgres(directory), embedded.start_valkey(directory)
    ours = {
        "DATABASE_URL": postgres.url,
        "REDIS_URL": valkey.url,
        "DATA_DIR": str(directory),
        "DJANGO_SETTINGS_MODULE": "trade_canvas.settings",
        "LOG_LEVEL": "WARNING",
        "TRADE_CANVAS_ENABLE_PG_STORE": "1",
        "TRADE_CANVAS_ENABLE_WS_PUBSUB": "1",
        "TRADE_CANVAS_INGEST_TOKEN": TOKEN,
        "TRADE_CANVAS_ENABLE_FACTOR_INGEST": str(int(ledgers)),
        "TRADE_CANVAS_ENABLE_OVERLAY_INGEST": str(int(ledgers)),
    }
    os.environ.update(ours)
    try:
        subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], check=True, timeout=60)
        django.setup()
        yield Stack(dict(os.environ))
    finally:
        valkey.stop()
        postgres.stop()
        shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def server(
    command: list[str], port: int, environment: dict[str, str], path: str | None
) -> Iterator[Server]:
    """Run a command until it listens on `port` (and answers `path`), and end it afterwards."""
    process = subprocess.Popen(command, env=environment)
    try:
        _wait_until_up(process, port, path)
        yield Server(port, process.pid)
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)


def _wait_until_up(process: subprocess.Popen[bytes], port: int, path: str | None) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if path is None:
                socket.create_connection(("127.0.0.1", port), 1).close()
            else:
                urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"{process.args!r} did not come up")


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
