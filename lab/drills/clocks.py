"""Wall clocks of ours that jump by five minutes, and back."""

from __future__ import annotations

import time
from collections.abc import Sequence

from lab.drills.catalogue import drill
from lab.drills.ground import Ground
from lab.drills.program import DrilledProgram

OFF_S = 300.0
EACH_S = 15.0


def _jump(ground: Ground, title: str, programs: Sequence[DrilledProgram]) -> None:
    with ground.watched(title) as watch:
        watch.hit()
        for off_s in (OFF_S, -OFF_S, 0.0):
            for program in programs:
                program.set_clock(off_s)
            if off_s:
                time.sleep(EACH_S)
        watch.over()


@drill("clock-all", "all of our clocks 5 min fast, 5 min slow, then right")
def all_of_them(ground: Ground, title: str) -> None:
    """The exchange's clock is what counts for candles."""
    _jump(ground, title, ground.installation.programs)


@drill("clock-web", "one web process 5 min fast, 5 min slow, then right")
def one_web(ground: Ground, title: str) -> None:
    """It may hold back what it takes for open, and nothing else."""
    _jump(ground, title, ground.installation.webs[:1])


@drill("clock-worker", "the worker that follows 5 min fast, 5 min slow, then right")
def one_worker(ground: Ground, title: str) -> None:
    """Locks go by Valkey's clock."""
    _jump(ground, title, [ground.installation.owner()])


@drill("clock-beat", "both beats 5 min slow while the worker that follows is killed")
def beats(ground: Ground, title: str) -> None:
    """Tasks carry an expiry: one that a slow clock wrote must not be dropped by a right one."""
    installation = ground.installation
    worker = installation.owner()
    with ground.watched(title) as watch:
        for beat in installation.beats:
            beat.set_clock(-OFF_S)
        watch.hit()
        worker.kill()
        watch.over()
    worker.start().wait_until_ready()
