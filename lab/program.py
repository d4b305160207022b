"""One process under test: started, paused, killed, restarted; its output goes to a file.

`up` restarts whatever ends. Here nothing restarts by itself, so that an unexpected end is noticed.
"""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from lab.waiting import patience, wait_until
from trade_canvas.embedded.guard import die_with_parent
from trade_canvas.environment import BASE_DIR
from trade_canvas.up.plan import MANAGE

START_S = 30.0
STOP_S = 5.0
LINES_SHOWN = 60
# Of the surroundings, nothing else reaches a program: no switch of another installation does.
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "SSL_CERT_FILE", "TZ")
CLOCK = Path(__file__).with_name("clock")

COLLECT_STATIC = ("collectstatic", "--noinput", "--ignore", "*.map", "--verbosity", "0")
"""The management command that puts the built page where web processes serve it from."""


class LabFailed(Exception):
    """A program or a crowd of watchers failed; the message ends with its last output."""


def manage(*arguments: str) -> list[str]:
    """Return the command line of a management command."""
    return [sys.executable, MANAGE, *arguments]


def inherited() -> dict[str, str]:
    """Return the variables of this process that every program gets."""
    return {name: os.environ[name] for name in INHERITED if name in os.environ}


class Program:
    """A process that can be started again; every start appends to the same log.

    `is_ready` is polled by `wait_ready`. With `clock`, a file, the wall clock can be put off. Start
    programs from the main thread: Linux ends a child with the thread that started it.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        log: Path,
        url: str = "",
        is_ready: Callable[[Program], bool] | None = None,
        clock: Path | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self.url = url
        """Where it listens, without a trailing slash; empty when it does not."""
        self._command = list(command)
        self._environment = dict(environment)
        self._is_ready = is_ready
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0
        self._is_wanted = False
        if clock is not None:
            clock.write_bytes(struct.pack("d", 0.0))
            self._environment |= {"PYTHONPATH": str(CLOCK), "LAB_CLOCK": str(clock)}
        self._made_with = dict(self._environment)

    @property
    def pid(self) -> int:
        """The process id. Raises LabFailed before the first start."""
        if self._process is None:
            raise LabFailed(f"{self.name} was not started")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process exists, paused or not."""
        return self._process is not None and self._process.poll() is None

    @property
    def has_failed(self) -> bool:
        """Whether it ended unexpectedly."""
        return self._is_wanted and not self.is_running

    def start(self, **variables: str) -> Self:
        """Start the process; `variables` are added to its environment, for later starts too."""
        self._environment.update(variables)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                self._command,
                cwd=BASE_DIR,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C is for the parent alone, which stops everything in order.
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGKILL),
            )
        self._is_wanted = True
        return self

    def forget_variables(self) -> None:
        """Drop what later starts added to the environment that it was made with."""
        self._environment = dict(self._made_with)

    def wait_ready(self) -> Self:
        """Wait until it does its work. Raises LabFailed when it ends instead."""
        if self._is_ready is not None:
            is_ready = self._is_ready
            self.wait_until(lambda: is_ready(self), what="ready")
        return self

    def wait_until(
        self, condition: Callable[[], object], seconds: float = START_S, what: str = ""
    ) -> None:
        """Wait for a condition. Raises LabFailed when the process ends before it holds."""

        def holds() -> bool:
            # Looked at first: what it printed just before its end counts.
            is_running = self.is_running
            if condition():
                return True
            if not is_running:
                raise self.failure("ended")
            return False

        wait_until(holds, seconds, f"{self.name} to be {what}; its output:\n{self._tail()}")

    def wait_for_line(self, text: str, seconds: float = START_S) -> None:
        """Wait until the output contains `text`."""
        self.wait_until(lambda: text in self.output(), seconds, repr(text))

    def wait(self, seconds: float = START_S) -> int:
        """Wait for the process to end by itself and return its status."""
        assert self._process is not None
        self._is_wanted = False
        try:
            return self._process.wait(patience(seconds))
        except subprocess.TimeoutExpired as error:
            raise self.failure(f"has not ended after {error.timeout:g} s") from None

    def terminate(self, seconds: float = STOP_S) -> int:
        """End it with SIGTERM, with SIGKILL when that takes too long; return its status."""
        self.ask_to_end()
        try:
            return self._end(patience(seconds))
        except subprocess.TimeoutExpired:
            return self.kill()

    def ask_to_end(self) -> None:
        """Send SIGTERM, to a paused process too, without waiting."""
        self._is_wanted = False
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)

    def kill(self) -> int:
        """End it at once, as a crash would; return its status."""
        self.signal(signal.SIGKILL)
        return self._end(patience(STOP_S))

    def restart(self) -> None:
        """End it in an orderly way, start it again and wait until it is ready."""
        self.terminate()
        self.start().wait_ready()

    def pause(self) -> None:
        """Suspend the process (SIGSTOP): its sockets stay open and nothing answers."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Continue after `pause`."""
        self.signal(signal.SIGCONT)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; does nothing when the process has ended."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def set_clock(self, offset_s: float) -> None:
        """Put its wall clock off by so many seconds, at once; needs `clock`."""
        if self._clock is not None:
            with self._clock.open("r+b") as file:
                file.write(struct.pack("d", offset_s))

    def output(self) -> str:
        """Return everything printed since the last start."""
        # A test's folder, and the log in it, may be gone when its failure is reported.
        if not self.log.exists():
            return ""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def failure(self, what: str) -> LabFailed:
        """Return an error that names the program and ends with its last lines."""
        return LabFailed(f"{self.name} {what}:\n{self._tail()}")

    def show(self) -> str:
        """Return its state and last lines, for the report of a failed test."""
        status = "running" if self.is_running else f"ended {self._process and self._process.poll()}"
        return f"--- {self.name} ({status}) ---\n{self._tail()}"

    def memory(self) -> int:
        """Return the resident memory in bytes."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def open_files(self) -> int:
        """Return the number of open file descriptors, connections among them."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def _tail(self) -> str:
        return "\n".join(self.output().splitlines()[-LINES_SHOWN:])

    def _end(self, seconds: float) -> int:
        self._is_wanted = False
        if self._process is None:
            return 0
        status = self._process.wait(seconds)
        with suppress(ProcessLookupError):
            # Processes that it started in its session end with it.
            os.killpg(self._process.pid, signal.SIGKILL)
        return status
