"""The number of watchers that breaks a threshold: doubled until one breaks, then bisected."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lab.capacity.figures import Measured
from lab.capacity.gate import Check

NARROWINGS = 2


@dataclass(frozen=True, slots=True)
class Step:
    """One number of watchers, what was measured with it, and its checks.

    `failure` is why nothing could be measured: so many were too much for the machine.
    """

    watchers: int
    measured: Measured | None
    checks: Sequence[Check] = ()
    failure: str = ""

    @property
    def passed(self) -> bool:
        """Whether every threshold was kept."""
        return not self.failure and all(check.passed for check in self.checks)

    @property
    def broken(self) -> str:
        """The thresholds that broke."""
        return self.failure or ", ".join(c.name for c in self.checks if not c.passed) or "none"


@dataclass(frozen=True, slots=True)
class Limit:
    """The most watchers that passed, the fewest that did not (None: never so), and all steps.

    `kind` is what they were: "watchers" or "pages".
    """

    holds: int
    breaks: int | None
    steps: tuple[Step, ...]
    kind: str = "watchers"


def find_limit(
    attempt: Callable[[int], Step], *, start: int, most: int, kind: str = "watchers"
) -> Limit:
    """Try numbers of watchers from `start` to `most`, and narrow the limit down."""
    steps: list[Step] = []
    holds, breaks, watchers = 0, None, start
    while breaks is None and watchers <= most:
        steps.append(attempt(watchers))
        if steps[-1].passed:
            holds, watchers = watchers, 2 * watchers
        else:
            breaks = watchers
    for _ in range(NARROWINGS if breaks and holds else 0):
        assert breaks is not None
        steps.append(attempt((holds + breaks) // 2))
        if steps[-1].passed:
            holds = steps[-1].watchers
        else:
            breaks = steps[-1].watchers
    return Limit(holds, breaks, tuple(steps), kind)


def limit_rows(limit: Limit) -> list[tuple[str, ...]]:
    """Return the steps as a table; the first row names the columns."""
    of_pages = limit.kind == "pages"
    drawn = ("drawings p95",) if of_pages else ()
    head = (limit.kind, "candles a second", "p95 from commit", "p99", *drawn, "all cores", "broken")
    rows: list[tuple[str, ...]] = [head]
    for step in sorted(limit.steps, key=lambda step: step.watchers):
        figures = [""] * (len(head) - 2)
        if (measured := step.measured) is not None:
            drawings = measured.drawings
            figures = [
                f"{measured.frames_per_second:g}",
                f"{measured.from_commit.p95:.1f} ms",
                f"{measured.from_commit.p99:.1f} ms",
                *([f"{drawings.from_commit.p95:.1f} ms"] if drawings is not None else []),
                f"{sum(use.cores for use in measured.uses):.2f}",
            ]
        rows.append((str(step.watchers), *figures, step.broken))
    return rows


def limit_verdict(limit: Limit) -> str:
    """Return the limit in a sentence."""
    holds = f"{limit.holds} {limit.kind} hold every threshold"
    if limit.breaks is None:
        return f"{holds}; more were not tried."
    broken = next(step.broken for step in limit.steps if step.watchers == limit.breaks)
    return f"{holds}; {limit.breaks} break: {broken}."
