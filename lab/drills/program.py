"""One process of a drill's installation: ended, killed and started again in its place."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lab.capacity.programs import RunningProgram
from trade_canvas.up.plan import Program

START_TIMEOUT_S = 90.0
CLOCK = Path(__file__).with_name("clock")


class DrilledProgram(RunningProgram):
    """A program with a readiness of its own, and a wall clock that can be put off."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        logs: Path,
        is_ready: Callable[[DrilledProgram], bool],
        url: str = "",
    ) -> None:
        self._clock = logs / f"{name}.clock"
        self._clock.write_bytes(struct.pack("d", 0.0))
        self._is_ready = is_ready
        self._log_from = 0
        clock = {"PYTHONPATH": str(CLOCK), "DRILL_CLOCK": str(self._clock)}
        super().__init__(
            Program(name, tuple(command)), {**environment, **clock}, logs=logs, url=url
        )

    def start(self, **variables: str) -> DrilledProgram:
        """Start it; `output` begins anew."""
        self._log_from = self.log.stat().st_size if self.log.exists() else 0
        super().start(**variables)
        return self

    def output(self) -> str:
        """What it has printed since it was started last."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as log:
            log.seek(self._log_from)
            return log.read().decode(errors="replace")

    def wait_until_ready(self) -> None:
        """Wait until it does its work; TopologyFailed when it ends instead."""
        self.wait_until(lambda: self._is_ready(self), START_TIMEOUT_S, "ready")

    def restart(self) -> None:
        """End it in an orderly way, and wait until another is ready in its place."""
        self.terminate()
        self.start().wait_until_ready()

    def set_clock(self, off_s: float) -> None:
        """Put its wall clock off by so many seconds, at once."""
        with self._clock.open("r+b") as file:
            file.write(struct.pack("d", off_s))

    def memory(self) -> int:
        """Resident bytes."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def open_files(self) -> int:
        """Open file descriptors, connections among them."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))
