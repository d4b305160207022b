"""Running drills one after the other on one installation, and a fresh one after a failure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path

from lab.capacity.programs import TopologyFailed
from lab.drills.catalogue import Drill
from lab.drills.ground import Ground
from lab.drills.installation import installed
from lab.drills.outcome import Outcome


def run_drills(
    drills: Iterable[Drill], say: Callable[[str], object], *, logs: Path | None = None
) -> list[Outcome]:
    """Run each drill, say its outcomes in a line each, and return them all.

    What the installation printed is kept in `logs`.
    """
    outcomes: list[Outcome] = []
    waiting = list(drills)
    while waiting:
        with ExitStack() as stack:
            ground = Ground(stack.enter_context(installed(logs=logs)), say)
            while waiting and all(each.is_clean for each in ground.outcomes):
                _run(waiting.pop(0), ground)
        outcomes += ground.outcomes
    return outcomes


def _run(drill: Drill, ground: Ground) -> None:
    try:
        drill.run(ground)
        ground.installation.restore()
    except TopologyFailed as error:
        ground.add(Outcome.of_failure(drill.title, str(error)))
