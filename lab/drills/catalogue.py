"""The drills by name, in the order in which they are run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lab.drills.ground import Ground

Run = Callable[[Ground], None]


@dataclass(frozen=True, slots=True)
class Drill:
    """A fault and how it is brought about; `title` is a line of the report."""

    name: str
    title: str
    run: Run


DRILLS: dict[str, Drill] = {}


def drill(name: str, title: str) -> Callable[[Callable[[Ground, str], None]], None]:
    """Enter a function of ground and title into the catalogue."""

    def enter(run: Callable[[Ground, str], None]) -> None:
        DRILLS[name] = Drill(name, title, lambda ground: run(ground, title))

    return enter
