"""Flame graphs of running programs by py-spy, which samples them from outside."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from lab.program import LabFailed, Program, inherited

RATE_HZ = 200
SLACK_S = 60.0


class Profiler:
    """Records programs for `seconds` into `folder`/<name>.svg; a context manager that waits.

    Raises LabFailed when py-spy is not installed (it is a development requirement), or not allowed
    to look.
    """

    def __init__(self, programs: list[Program], folder: Path, seconds: float) -> None:
        tool = shutil.which("py-spy", path=str(Path(sys.executable).parent))
        if tool is None:
            raise LabFailed("py-spy is not installed; `make profile` installs it")
        self._seconds = seconds
        options = ("--nonblocking", "--gil", "--rate", str(RATE_HZ), "--format", "flamegraph")
        self._recordings = [
            Program(
                f"py-spy of {each.name}",
                [
                    *(tool, "record", *options, "--duration", str(round(seconds))),
                    *("--pid", str(each.pid), "--output", str(folder / f"{each.name}.svg")),
                ],
                inherited(),
                log=folder / f"{each.name}-profile.log",
            ).start()
            for each in programs
        ]

    def __enter__(self) -> Profiler:
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._recordings:
            if each.wait(self._seconds + SLACK_S):
                raise each.failure("failed")
            each.log.unlink()
