"""Measures ours and a bare limit in turn, with a ratio for each round.

The machine's speed drifts, so only ratios count: each round measures A (ours) and B (the
limit) right after one another, and the result is the median of the rounds' ratios.
"""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Target:
    """What a ratio must reach: at most `bound`, or at least it."""

    bound: float
    at_least: bool = False

    def is_met(self, ratio: float) -> bool:
        """Whether a measured ratio is good enough."""
        return ratio >= self.bound if self.at_least else ratio <= self.bound

    def __str__(self) -> str:
        return f"{'>=' if self.at_least else '<='} {self.bound:g}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """The rounds of one comparison; `unit` names what both sides were measured in."""

    title: str
    unit: str
    ours: Sequence[float]
    limit: Sequence[float]
    target: Target | None = None

    @property
    def ratio(self) -> float:
        """The median of ours / limit, round by round."""
        return statistics.median(a / b for a, b in zip(self.ours, self.limit, strict=True))

    def __str__(self) -> str:
        ratios = [a / b for a, b in zip(self.ours, self.limit, strict=True)]
        verdict = ""
        if self.target is not None:
            verdict = (
                f"  target {self.target}: {'met' if self.target.is_met(self.ratio) else 'MISSED'}"
            )
        return (
            f"{self.title}: ratio {self.ratio:.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
            f"  ours {statistics.median(self.ours):.4g} {self.unit},"
            f" limit {statistics.median(self.limit):.4g} {self.unit}{verdict}"
        )


def interleave(
    ours: Callable[[], float], limit: Callable[[], float], *, rounds: int = ROUNDS
) -> tuple[list[float], list[float]]:
    """Measure both sides in turn, after one round that does not count."""
    pairs = [(ours(), limit()) for _ in range(rounds + 1)][1:]
    return [a for a, _ in pairs], [b for _, b in pairs]


async def interleave_async(
    ours: Callable[[], Awaitable[float]],
    limit: Callable[[], Awaitable[float]],
    *,
    rounds: int = ROUNDS,
) -> tuple[list[float], list[float]]:
    """Do the same with coroutines."""
    pairs = [(await ours(), await limit()) for _ in range(rounds + 1)][1:]
    return [a for a, _ in pairs], [b for _, b in pairs]


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def print_machine() -> None:
    """Print facts about the machine."""
    print(
        f"Python {platform.python_version()} on {platform.machine()}, {os.cpu_count()} cores,"
        f" load {os.getloadavg()[0]:.1f}"
    )
