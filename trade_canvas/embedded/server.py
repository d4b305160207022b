"""One embedded server as its owner sees it: start, address, stop, restart after a crash.

The process that starts a server owns it. A guard process beside the server holds the lock
`run/<name>.guard` for as long as the server runs, so that no two servers use the same data; port,
password and process id are in `run/<name>.json`, for other processes.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Protocol

from market.files import try_lock, write_whole
from trade_canvas.embedded.account import Account, server_account, server_directory

GUARD = Path(__file__).with_name("guard.py")
# Below the ports that the system gives to clients: a client could take a port of ours, or connect
# to itself while the server is down.
PORTS = range(20_000, 32_000)
# Those that were given last: their programs may not listen yet.
_given: deque[int] = deque(maxlen=100)
START_TIMEOUT_S = 60.0
# For each of the three signals that a server is sent in turn.
STOP_TIMEOUT_S = 6.0
ATTEMPTS = 4
POLL_S = 0.02
LOG_LIMIT_BYTES = 20_000_000


class ServerFailed(Exception):
    """An embedded server did not start; the message ends with its last log lines."""


@dataclass(frozen=True, slots=True)
class Record:
    """What is kept about a server: port on 127.0.0.1, password, and process id (0: stopped)."""

    port: int
    password: str
    server_pid: int = 0


@dataclass(frozen=True, slots=True)
class Place:
    """The folder of one server's data, reachable by the account that runs it."""

    account: Account
    home: Path


class Kind(Protocol):
    """What differs between the servers."""

    name: str
    stop_signal: signal.Signals

    def prepare(self, place: Place, record: Record, *, is_new: bool) -> None:
        """Bring the data to where the server can start: first set-up, recovery of stale files.

        `is_new`: the password was made just now; one in the data is to be replaced by it.
        """

    def command(self, place: Place, record: Record) -> list[str]:
        """Return the command line that serves in the foreground."""

    def mend(self, place: Place, log: str) -> str:
        """Make the next start possible if the log names damage; return what was done, or ""."""

    def is_ready(self, place: Place, record: Record) -> bool:
        """Return whether the server with this record accepts connections."""

    def url(self, record: Record) -> str:
        """Return the address for clients, password included."""


class EmbeddedServer:
    """A server whose files are under one directory; the process that calls `start` owns it."""

    def __init__(self, kind: Kind, directory: Path) -> None:
        self._kind = kind
        self._directory = directory.absolute()
        self._run = self._directory / "run"
        self._guard: subprocess.Popen[str] | None = None

    @property
    def name(self) -> str:
        """What kind of server it is."""
        return self._kind.name

    @property
    def url(self) -> str:
        """The server's address, password included. Raises ServerFailed if it never ran."""
        return self._kind.url(self._record())

    @property
    def port(self) -> int:
        """The TCP port on 127.0.0.1; kept over restarts unless another program took it."""
        return self._record().port

    @property
    def pid(self) -> int:
        """The server's main process; 0 when it was stopped."""
        return self._record().server_pid

    def is_running(self) -> bool:
        """Return whether this process started the server and it still runs."""
        return self._guard is not None and self._guard.poll() is None

    def start(self) -> EmbeddedServer:
        """Start the server unless it runs; it ends with this process at the latest.

        Raises ServerFailed when it can't be started, or when another process runs it.
        """
        if self.is_running():
            return self
        self._end_guard()
        account = server_account()
        place = Place(account, server_directory(account, self._directory / self.name))
        self._run.mkdir(parents=True, exist_ok=True)
        with open(self._run / f"{self.name}.guard", "w") as lock:
            # After a crash of its owner, a server needs a while to stop.
            timeout = STOP_TIMEOUT_S * 3
            taken = f"{self.name} of {self._directory} is run by another process"
            wait_for(lambda: try_lock(lock), timeout, taken)
            kept = self._load()
            record = kept or Record(free_port(), secrets.token_urlsafe(24))
            self._kind.prepare(place, record, is_new=kept is None)
            self._save(record)
            for _ in range(ATTEMPTS):
                if not is_port_free(record.port):
                    record = replace(record, port=free_port())
                logged = self._log().stat().st_size if self._log().exists() else 0
                if self._try(place, record, lock):
                    return self
                if damaged := self._kind.mend(place, self._log().read_bytes()[logged:].decode()):
                    print(f"{self.name}: {damaged}", file=sys.stderr, flush=True)
        raise ServerFailed(f"{self.name} does not start:\n{_tail(self._log())}")

    def stop(self) -> None:
        """Stop the server, finishing its writes, and wait until it is gone."""
        if self._guard is not None:
            self._end_guard()
            self._save(replace(self._record(), server_pid=0))

    def kill(self) -> None:
        """Kill the server's main process without warning and wait until it is gone."""
        os.kill(self.pid, signal.SIGKILL)
        self._end_guard()

    def wait_for_owner(self, owner: str) -> None:
        """Wait until the process that owns the directory has started the server.

        Raises ServerFailed when it doesn't.
        """
        complaint = f"{self.name} does not run: process {owner} owns {self._directory}"

        def has_started() -> bool:
            record = self._load()
            return record is not None and is_alive(record.server_pid)

        wait_for(has_started, START_TIMEOUT_S, complaint)

    def _try(self, place: Place, record: Record, lock: IO[str]) -> bool:
        """Start guard and server; return False when the server ended before it was ready."""
        order = {
            "command": self._kind.command(place, record),
            "user": place.account.user,
            "group": place.account.group,
            "directory": str(place.home),
            "log": str(self._log()),
            "stop_signal": int(self._kind.stop_signal),
            "stop_timeout_s": STOP_TIMEOUT_S,
        }
        guard = self._guard = subprocess.Popen(
            [sys.executable, "-I", str(GUARD), json.dumps(order)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            # The lock is held until the last process that inherited it has ended: the guard.
            pass_fds=[lock.fileno()],
            # Ctrl-C in the terminal is for the owner: it ends the server after its clients.
            start_new_session=True,
        )
        assert guard.stdout is not None
        with guard.stdout:
            record = replace(record, server_pid=int(guard.stdout.readline() or 0))
        wait_for(
            lambda: guard.poll() is not None or self._kind.is_ready(place, record),
            START_TIMEOUT_S,
            f"{self.name} is not ready",
        )
        if guard.poll() is not None:
            self._end_guard()
            return False
        self._save(record)
        return True

    def _end_guard(self) -> None:
        guard, self._guard = self._guard, None
        if guard is not None:
            assert guard.stdin is not None
            guard.stdin.close()
            guard.wait(STOP_TIMEOUT_S * 4)

    def _log(self) -> Path:
        path = self._directory / "logs" / f"{self.name}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size > LOG_LIMIT_BYTES:
            path.replace(path.with_suffix(".log.1"))
        return path

    def _record(self) -> Record:
        record = self._load()
        if record is None:
            raise ServerFailed(f"{self.name} was never started on {self._directory}")
        return record

    def _load(self) -> Record | None:
        path = self._run / f"{self.name}.json"
        try:
            kept = json.loads(path.read_text())
            # Older versions kept more.
            return Record(int(kept["port"]), str(kept["password"]), int(kept["server_pid"]))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError):
            # A power loss left a part of it. The server gets a new port and password.
            return None

    def _save(self, record: Record) -> None:
        path = self._run / f"{self.name}.json"
        write_whole(path, json.dumps(asdict(record)), mode=0o600)


def wait_for(condition: Callable[[], bool], timeout_s: float, complaint: str) -> None:
    """Poll until `condition` holds; raise ServerFailed with `complaint` after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise ServerFailed(f"{complaint} after {timeout_s:g} s")
        time.sleep(POLL_S)


def free_port() -> int:
    """Return a TCP port on 127.0.0.1 that is free now."""
    candidates = (port for port in random.sample(PORTS, 300) if port not in _given)
    port = next(port for port in candidates if is_port_free(port))
    _given.append(port)
    return port


def is_port_free(port: int) -> bool:
    """Return whether a server could listen on this port of 127.0.0.1 now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def is_alive(pid: int) -> bool:
    """Return whether a process with this id exists, of whatever account."""
    if not pid:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _tail(path: Path, lines: int = 15) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
