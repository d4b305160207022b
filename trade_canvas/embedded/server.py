"""One embedded server as its users see it: join or start, address, stop, restart.

Three lock files under `<directory>/run` make it safe between processes: `<name>.start` is held
while a server is started or stopped, `<name>.users` is shared by all that use it, and
`<name>.guard` is held by the guard while the server is up.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol

from trade_canvas.embedded.account import Account, server_account, server_directory

GUARD = Path(__file__).with_name("guard.py")
# Below the ports that the system hands out to clients: one of those would find a port of ours
# taken, or connect to itself while the server is down.
PORTS = range(20_000, 32_000)
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 6.0
ATTEMPTS = 4
POLL_S = 0.02
LOG_LIMIT_BYTES = 20_000_000


class ServerFailed(Exception):
    """An embedded server did not start; the message ends with its last log lines."""


@dataclass(frozen=True, slots=True)
class Record:
    """What is kept about a server: where it listens, its password and its processes."""

    port: int
    password: str
    server_pid: int = 0
    guard_pid: int = 0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server of one kind lives for one DATA_DIR, and the account that runs it."""

    account: Account
    home: Path
    """The server's own folder, reachable by its account."""
    run: Path


class Kind(Protocol):
    """What differs between the servers."""

    name: str
    stop_signal: signal.Signals

    def prepare(self, place: Place, record: Record) -> None:
        """Bring the data to where the server can start: first set-up, recovery of stale files."""

    def command(self, place: Place, record: Record) -> list[str]:
        """Return the command line that serves in the foreground."""

    def is_ready(self, place: Place, record: Record) -> bool:
        """Tell whether the server with these addresses answers now."""

    def url(self, record: Record) -> str:
        """Return the address for clients, password included."""


class EmbeddedServer:
    """A server under one directory; `start` joins it when some process already runs it."""

    def __init__(self, kind: Kind, directory: Path) -> None:
        self._kind = kind
        self._directory = directory.absolute()
        self._run = self._directory / "run"
        self._users: int | None = None
        self._guard: subprocess.Popen[str] | None = None
        self._record: Record | None = None

    @property
    def name(self) -> str:
        """What kind of server it is."""
        return self._kind.name

    @property
    def url(self) -> str:
        """The server's address, password included. Raises ServerFailed before `start`."""
        return self._kind.url(self._known())

    @property
    def port(self) -> int:
        """The TCP port on 127.0.0.1; kept over restarts unless somebody else took it."""
        return self._known().port

    @property
    def pid(self) -> int:
        """The server's main process."""
        return self._known().server_pid

    def is_running(self) -> bool:
        """Tell whether the server is up, whoever started it."""
        return not _is_free(self._run / f"{self._kind.name}.guard")

    def start(self) -> EmbeddedServer:
        """Join the running server or start it, and keep it up until `stop` or our end.

        Raises ServerFailed when it can't be started.
        """
        self._run.mkdir(parents=True, exist_ok=True)
        with self._starting():
            self._hold()
            if self.is_running():
                self._record = self._load()
            else:
                self._record = self._launch()
        return self

    def stop(self) -> None:
        """Stop the server for everybody, finishing its writes, and wait until it is gone."""
        with self._starting():
            self._signal_guard()
            self._wait_until_down()
            self._release()

    def kill(self) -> None:
        """Kill the server's main process without warning and wait until it is gone."""
        with self._starting():
            os.kill(self.pid, signal.SIGKILL)
            self._wait_until_down()

    def leave(self) -> None:
        """Give up our use: the guard stops the server when nobody else holds one.

        Waits for a guard of ours that does so, or it would be left for the system to bury.
        """
        alone = self._users is not None and _is_sole_holder(self._users)
        self._release()
        if alone and self._guard is not None:
            self._reap_guard()

    def _known(self) -> Record:
        if self._record is None:
            raise ServerFailed(f"{self._kind.name} was not started")
        return self._record

    def _launch(self) -> Record:
        account = server_account()
        home = server_directory(account, self._directory / self._kind.name)
        place = Place(account, home, self._run)
        record = self._load()
        self._kind.prepare(place, record)
        for _ in range(ATTEMPTS):
            record = record if is_port_free(record.port) else replace(record, port=free_port())
            started = self._try(place, record)
            if started is not None:
                return started
        raise ServerFailed(f"{self._kind.name} does not start:\n{_tail(self._log())}")

    def _try(self, place: Place, record: Record) -> Record | None:
        """Start guard and server; None when the server ended before it was ready."""
        self._reap_guard()
        self._guard = self._spawn_guard(place, record)
        assert self._guard.stdout is not None
        line = self._guard.stdout.readline().strip()
        self._guard.stdout.close()
        if not line:
            return None
        record = replace(record, server_pid=int(line), guard_pid=self._guard.pid)
        guard = self._guard
        wait_for(
            lambda: self._kind.is_ready(place, record) or guard.poll() is not None,
            START_TIMEOUT_S,
            f"{self._kind.name} is not ready",
        )
        if guard.poll() is not None:
            return None
        self._save(record)
        return record

    def _spawn_guard(self, place: Place, record: Record) -> subprocess.Popen[str]:
        order = {
            "command": self._kind.command(place, record),
            "user": place.account.user,
            "group": place.account.group,
            "directory": str(place.home),
            "log": str(self._log()),
            "guard_lock": str(self._run / f"{self._kind.name}.guard"),
            "users_lock": str(self._run / f"{self._kind.name}.users"),
            "stop_signal": int(self._kind.stop_signal),
            "stop_timeout_s": STOP_TIMEOUT_S,
        }
        return subprocess.Popen(
            [sys.executable, "-I", str(GUARD), json.dumps(order)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            # Ctrl-C in the terminal is for the owner: it ends the server after its clients.
            start_new_session=True,
        )

    def _log(self) -> Path:
        path = self._directory / "logs" / f"{self._kind.name}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size > LOG_LIMIT_BYTES:
            path.replace(path.with_suffix(".log.1"))
        return path

    def _signal_guard(self) -> None:
        if self.is_running():
            with suppress(ProcessLookupError):
                os.kill(self._load().guard_pid, signal.SIGTERM)

    def _wait_until_down(self) -> None:
        timeout = STOP_TIMEOUT_S * 3
        wait_for(lambda: not self.is_running(), timeout, f"{self._kind.name} does not stop")
        self._reap_guard()

    def _reap_guard(self) -> None:
        if self._guard is not None:
            self._guard.wait(STOP_TIMEOUT_S * 3)
            self._guard = None

    @contextmanager
    def _starting(self) -> Iterator[None]:
        with open(self._run / f"{self._kind.name}.start", "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _hold(self) -> None:
        if self._users is None:
            path = self._run / f"{self._kind.name}.users"
            self._users = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        # Waits while a guard that found no user is stopping its server.
        fcntl.flock(self._users, fcntl.LOCK_SH)

    def _release(self) -> None:
        if self._users is not None:
            os.close(self._users)
            self._users = None

    def _load(self) -> Record:
        path = self._run / f"{self._kind.name}.json"
        if path.exists():
            return Record(**json.loads(path.read_text()))
        record = Record(port=free_port(), password=secrets.token_urlsafe(24))
        self._save(record)
        return record

    def _save(self, record: Record) -> None:
        path = self._run / f"{self._kind.name}.json"
        draft = path.with_suffix(".draft")
        draft.touch(mode=0o600)
        draft.write_text(json.dumps(asdict(record)))
        draft.replace(path)


def wait_for(condition: Callable[[], bool], timeout_s: float, complaint: str) -> None:
    """Poll until `condition` holds; raise ServerFailed with `complaint` after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise ServerFailed(f"{complaint} after {timeout_s:g} s")
        time.sleep(POLL_S)


def free_port() -> int:
    """Return a TCP port on 127.0.0.1 that nobody listens on now."""
    candidates = random.sample(PORTS, 200)
    return next(port for port in candidates if is_port_free(port))


def is_port_free(port: int) -> bool:
    """Tell whether a server could listen on this port of 127.0.0.1 now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _is_sole_holder(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_free(path: Path) -> bool:
    with open(path, "a") as file:
        try:
            # Shared, so that two askers at once don't take each other for a guard.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def _tail(path: Path, lines: int = 15) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
