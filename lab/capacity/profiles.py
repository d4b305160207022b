"""Flame graphs of running programs, by py-spy, which only looks at them from outside."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from lab.program import LabFailed, Program

RATE_HZ = 200
SLACK_S = 60.0


class Profiler:
    """Records programs for `seconds` into `folder`/<name>.svg; a context manager that waits.

    Raises LabFailed when py-spy is not installed (it is a development requirement), or may
    not look.
    """

    def __init__(self, programs: list[Program], folder: Path, seconds: float) -> None:
        tool = shutil.which("py-spy", path=str(Path(sys.executable).parent))
        if tool is None:
            raise LabFailed("py-spy is not installed: pip install -r requirements-dev.lock")
        self._seconds = seconds
        self._logs = [folder / f"{each.name}-profile.log" for each in programs]
        self._processes = [
            _record(tool, each, folder, seconds=seconds, log=log)
            for each, log in zip(programs, self._logs, strict=True)
        ]

    def __enter__(self) -> Profiler:
        return self

    def __exit__(self, *_: object) -> None:
        for process, log in zip(self._processes, self._logs, strict=True):
            try:
                status = process.wait(self._seconds + SLACK_S)
            except subprocess.TimeoutExpired:
                process.kill()
                status = process.wait(SLACK_S)
            if status:
                raise LabFailed(f"py-spy failed:\n{log.read_text(errors='replace')[-2000:]}")
            log.unlink()


def _record(
    tool: str, program: Program, folder: Path, *, seconds: float, log: Path
) -> subprocess.Popen[bytes]:
    command = [
        tool,
        "record",
        "--nonblocking",
        "--gil",
        "--rate",
        str(RATE_HZ),
        "--format",
        "flamegraph",
    ]
    target = ["--duration", str(round(seconds)), "--pid", str(program.pid)]
    output = ["--output", str(folder / f"{program.name}.svg")]
    with log.open("wb") as file:
        return subprocess.Popen(
            [*command, *target, *output], stdin=subprocess.DEVNULL, stdout=file, stderr=file
        )
