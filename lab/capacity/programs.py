"""A program of the plan as a measurement or a drill holds it: started, paused, killed, restarted.

`up` restarts whatever ends; here an end is a fact to be told, so nothing is restarted unasked.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from trade_canvas.embedded.guard import die_with_parent
from trade_canvas.environment import BASE_DIR
from trade_canvas.up.plan import Program

STOP_TIMEOUT_S = 15.0
POLL_S = 0.05
LINES_SHOWN = 30


class TopologyFailed(Exception):
    """The topology can't run, or a part of it ended by itself; the message ends with its log."""


class RunningProgram:
    """One process with its output in a file; every start adds to the same file.

    Start programs from the main thread: Linux ends a child with the thread that started it.
    """

    def __init__(
        self, program: Program, environment: Mapping[str, str], *, logs: Path, url: str = ""
    ) -> None:
        self.name = program.name
        self.url = url
        """Where it listens, without a trailing slash; empty when it does not."""
        self.log = logs / f"{program.name}.log"
        self._program = program
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._is_wanted = False

    @property
    def pid(self) -> int:
        """The process's id. Raises TopologyFailed before the first start."""
        if self._process is None:
            raise TopologyFailed(f"{self.name} was not started")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process lives, paused or not."""
        return self._process is not None and self._process.poll() is None

    @property
    def has_failed(self) -> bool:
        """Whether it ended though nobody here told it to."""
        return self._is_wanted and not self.is_running

    def start(self, **variables: str) -> RunningProgram:
        """Start the program; `variables` are added to its environment, for later starts too."""
        self._environment.update(variables)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._program.command,
                cwd=BASE_DIR,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C is for the parent alone, which stops everything in order.
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGTERM),
            )
        self._is_wanted = True
        return self

    def wait(self, timeout_s: float) -> int:
        """Wait for the program's own end and return its status; raise TopologyFailed when late."""
        assert self._process is not None
        self._is_wanted = False
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise self.failure(f"has not ended after {timeout_s:g} s") from None

    def terminate(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """End it with SIGTERM, with SIGKILL when it takes longer; return its status."""
        self.ask_to_end()
        try:
            return self._end(timeout_s)
        except subprocess.TimeoutExpired:
            return self.kill()

    def ask_to_end(self) -> None:
        """Send SIGTERM, to a paused process too, and don't wait."""
        self._is_wanted = False
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)

    def kill(self) -> int:
        """End it at once, as a crash would; return its status."""
        self.signal(signal.SIGKILL)
        return self._end(STOP_TIMEOUT_S)

    def pause(self) -> None:
        """Stop it from running (SIGSTOP): sockets stay open, nobody answers."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it run on after `pause`."""
        self.signal(signal.SIGCONT)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens when the process has ended."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def output(self) -> str:
        """Everything it has printed."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def failure(self, what: str) -> TopologyFailed:
        """An error that names the program and ends with its last lines."""
        lines = "\n".join(self.output().splitlines()[-LINES_SHOWN:])
        return TopologyFailed(f"{self.name} {what}:\n{lines}")

    def wait_until(self, condition: Callable[[], bool], timeout_s: float, what: str) -> None:
        """Poll until `condition` holds; raise TopologyFailed when it ends first, or is late."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            if not self.is_running:
                raise self.failure("ended")
            if time.monotonic() > deadline:
                raise self.failure(f"is not {what} after {timeout_s:g} s")
            time.sleep(POLL_S)

    def _end(self, timeout_s: float) -> int:
        self._is_wanted = False
        if self._process is None:
            return 0
        status = self._process.wait(timeout_s)
        with suppress(ProcessLookupError):
            # Whatever it has started in its session goes with it.
            os.killpg(self._process.pid, signal.SIGKILL)
        return status
