"""One process that `up` keeps running: started, its lines printed, restarted, stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Mapping
from contextlib import suppress

from trade_canvas.embedded.guard import die_with_parent
from trade_canvas.environment import BASE_DIR
from trade_canvas.up.output import Output
from trade_canvas.up.plan import Program

GOOD_RUN_S = 60.0
FAILURES_MAX = 8
BACKOFF_MAX_S = 30.0
STOP_TIMEOUT_S = 6.5
LINE_BYTES = 1 << 20


class ChildFailed(Exception):
    """A child ended too often in a row; the message names it."""


class Child:
    """Keeps one program running until `stop`."""

    def __init__(self, program: Program, environment: Mapping[str, str], *, output: Output) -> None:
        self.name = program.name
        self._program = program
        self._environment = environment
        self._output = output
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Run the program, again after growing pauses; raise ChildFailed after FAILURES_MAX."""
        failures = 0
        while True:
            began = time.monotonic()
            status = await self.run_once()
            if self._stopping.is_set():
                return
            failures = 1 if time.monotonic() - began > GOOD_RUN_S else failures + 1
            if failures > FAILURES_MAX:
                raise ChildFailed(f"{self.name} ended {failures} times in a row")
            pause_s = min(2.0 ** (failures - 1), BACKOFF_MAX_S)
            reason = f"signal {-status}" if status < 0 else f"status {status}"
            self._output.show(f"{self.name} ended ({reason}); starts again in {pause_s:g} s")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause_s)
                return

    async def run_once(self) -> int:
        """Run the program to its end, printing its lines; return its status."""
        process = self._process = await asyncio.create_subprocess_exec(
            *self._program.command,
            cwd=BASE_DIR,
            env=dict(self._environment),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            # Ctrl-C is for `up` alone: it stops the processes in their order.
            start_new_session=True,
            # Nobody is left to kill a program that does not end on request. It keeps nothing
            # that such an end could harm.
            preexec_fn=die_with_parent(signal.SIGKILL),
            limit=LINE_BYTES,
        )
        assert process.stdout is not None
        while True:
            try:
                line = await process.stdout.readline()
            except ValueError:
                # Longer than the limit: that part is dropped.
                continue
            if not line:
                return await process.wait()
            self._output.line(self.name, line.decode(errors="replace").rstrip())

    async def stop(self) -> None:
        """End the process and everything it started, and don't start it again."""
        self._stopping.set()
        process = self._process
        if process is None or process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_TIMEOUT_S)
        except TimeoutError:
            self._output.show(f"{self.name} does not stop; killed")
        with suppress(ProcessLookupError):
            # The whole session: no process that it started may stay.
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
