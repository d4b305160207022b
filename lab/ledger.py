"""What one watcher received of one series: every closed candle once, in order, or not.

A candle is one bit, its place in the series' grid, so the records of a thousand watchers over hours
fit in memory and the result covers all of them, not a sample.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields

EXAMPLES = 5


@dataclass(slots=True)
class Tally:
    """Sums over watchers; `expected` and those below it are known at the end only.

    `duplicates` came twice, `disorder` came after a later one, `differing` had other values than
    another watcher received, `missing` is stored and came neither way, `recovered` came over HTTP
    only, `phantom` came and is not stored.
    """

    duplicates: int = 0
    disorder: int = 0
    differing: int = 0
    gaps: int = 0
    expected: int = 0
    delivered: int = 0
    recovered: int = 0
    missing: int = 0
    phantom: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Add another's figures to these."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))
        del self.examples[EXAMPLES:]


class Place:
    """A watcher's place in a series; times are open times in Unix seconds, `step` in seconds."""

    __slots__ = (
        "_base",
        "_recovered",
        "_seen",
        "cursor",
        "differing",
        "disorder",
        "duplicates",
        "gaps",
        "step",
        "subscribed_at",
    )

    def __init__(self, step: int, since: int | None) -> None:
        self.step = step
        self.cursor = since
        """The newest candle it has: where it resumes."""
        self.subscribed_at = 0.0
        self.duplicates = self.disorder = self.differing = self.gaps = 0
        self._base = since
        self._seen = self._recovered = 0

    def take(self, time: int) -> None:
        """Note a closed candle that came over the socket."""
        if self._base is None:
            self._base = time - self.step
        if self.cursor is None or time > self.cursor:
            self.cursor = time
            self._seen |= self._bit(time)
        elif time <= self._base or self._seen & self._bit(time):
            self.duplicates += 1
        else:
            self.disorder += 1
            self._seen |= self._bit(time)

    def recover(self, times: Iterable[int]) -> None:
        """Note candles that were read over HTTP."""
        for time in times:
            if self._base is not None and time > self._base:
                self._recovered |= self._bit(time)

    def tally(self, name: str, expected: Iterable[int]) -> Tally:
        """Compare with the closed candles that were to come; `name` is for the examples."""
        base, wanted = self._base, 0
        if base is None:
            base = min(expected, default=0) - self.step
        times = [time for time in expected if time > base]
        for time in times:
            wanted |= 1 << (time - base) // self.step
        missing = wanted & ~(self._seen | self._recovered)
        return Tally(
            duplicates=self.duplicates,
            disorder=self.disorder,
            differing=self.differing,
            gaps=self.gaps,
            expected=len(times),
            delivered=(wanted & self._seen).bit_count(),
            recovered=(wanted & self._recovered & ~self._seen).bit_count(),
            missing=missing.bit_count(),
            # What came after the last candle of the comparison is for the next one.
            phantom=(self._seen & ~wanted & ((1 << wanted.bit_length()) - 1)).bit_count(),
            examples=[
                f"{name} {time}" for time in times if missing >> (time - base) // self.step & 1
            ][:EXAMPLES],
        )

    def _bit(self, time: int) -> int:
        assert self._base is not None
        return 1 << (time - self._base) // self.step
