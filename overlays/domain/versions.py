"""The instruction versions of one series: the port for reading them, and one in memory."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Protocol

from overlays.domain.instruction import POINT, Change, InstructionVersion, Span, span_of

NEVER = 1 << 40
"""A time after every candle."""


class VersionReader(Protocol):
    """The instruction versions of one series, read as of the candle at `to_time`.

    The points of lines are numbered among them, of kind `POINT`: only `newest` and `newest_of`
    leave them out.
    """

    def after(self, cursor: int, to_time: int, *, limit: int) -> Sequence[InstructionVersion]:
        """Versions numbered above `cursor`, visible by `to_time`, ascending: the first ones."""

    def count_after(self, cursor: int, to_time: int, *, limit: int) -> int:
        """How many versions `after` would return, counted in the ledger."""

    def newest(self, to_time: int, *, cutoff: int) -> Iterable[InstructionVersion]:
        """The newest version at `to_time` of each instruction whose span meets the window.

        The window reaches from `cutoff` to `to_time`, both inclusive. In any order; without
        withdrawn instructions.
        """

    def newest_of(self, instruction_id: str, to_time: int) -> InstructionVersion | None:
        """The newest version at `to_time` of one instruction, wherever its span lies."""

    def points(self, to_time: int, *, cutoff: int) -> Sequence[InstructionVersion]:
        """The points of all lines from `cutoff` to `to_time`, both inclusive, ascending."""

    def greatest_id(self, to_time: int) -> int:
        """The greatest number among the versions visible by `to_time`; 0 without any."""


class CachedVersions:
    """A VersionReader that reads the newest versions of a window only once."""

    def __init__(self, reader: VersionReader) -> None:
        self.after = reader.after
        self.count_after = reader.count_after
        self.newest_of = reader.newest_of
        self.points = reader.points
        self.greatest_id = reader.greatest_id
        self._newest = lru_cache(maxsize=1)(
            lambda to_time, cutoff: tuple(reader.newest(to_time, cutoff=cutoff))
        )

    def newest(self, to_time: int, *, cutoff: int) -> Sequence[InstructionVersion]:
        """Like VersionReader.newest; only the first call reads."""
        found: Sequence[InstructionVersion] = self._newest(to_time, cutoff)
        return found


class SeriesVersions:
    """The versions of one series in memory. Reading costs what the window shows.

    Changes must come in the order of their candles, and numbers must grow.
    """

    def __init__(self) -> None:
        self._versions: list[InstructionVersion] = []
        self._spans: list[Span | None] = []
        # The visible time of the instruction's next version.
        self._until: list[int] = []
        self._of_id: dict[str, list[int]] = {}
        self._by_end: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return len(self._versions)

    def __iter__(self) -> Iterator[InstructionVersion]:
        return iter(self._versions)

    def append(self, version_id: int, change: Change) -> InstructionVersion:
        """Store a change under its number."""
        version = InstructionVersion(version_id, *change)
        position = len(self._versions)
        span = None
        if change.kind != POINT:
            earlier = self._of_id.setdefault(change.instruction_id, [])
            if earlier:
                self._until[earlier[-1]] = change.visible_time
                self._close(earlier[-1], change.visible_time)
            earlier.append(position)
            span = span_of(change.definition)
        self._versions.append(version)
        self._spans.append(span)
        self._until.append(NEVER)
        if span is not None:
            insort(self._by_end, (_end(span), position))
        return version

    def before(self, time: int) -> SeriesVersions:
        """A copy without the versions that became visible at `time` or later."""
        kept = SeriesVersions()
        for version in self._versions[: self._visible(time - 1)]:
            kept.append(version.version_id, Change(*version[1:]))
        return kept

    def after(self, cursor: int, to_time: int, *, limit: int) -> Sequence[InstructionVersion]:
        """Versions numbered above `cursor`, visible by `to_time`, ascending: the first ones."""
        start = bisect_right(self._versions, cursor, key=lambda version: version.version_id)
        return self._versions[start : min(start + limit, self._visible(to_time))]

    def count_after(self, cursor: int, to_time: int, *, limit: int) -> int:
        """How many versions `after` would answer."""
        return len(self.after(cursor, to_time, limit=limit))

    def newest(self, to_time: int, *, cutoff: int) -> Iterator[InstructionVersion]:
        """The newest version at `to_time` of each instruction whose span meets the window."""
        for _, position in self._by_end[bisect_left(self._by_end, (cutoff, -1)) :]:
            version, span = self._versions[position], self._spans[position]
            visible = version.visible_time <= to_time < self._until[position]
            if visible and span is not None and span.meets(cutoff, to_time):
                yield version

    def newest_of(self, instruction_id: str, to_time: int) -> InstructionVersion | None:
        """The newest version at `to_time` of one instruction, wherever its span lies."""
        positions = self._of_id.get(instruction_id, ())
        visible = bisect_left(positions, self._visible(to_time))
        return self._versions[positions[visible - 1]] if visible else None

    def points(self, to_time: int, *, cutoff: int) -> list[InstructionVersion]:
        """The points of all lines from `cutoff` to `to_time`, both inclusive, ascending."""
        shown = self._versions[self._visible(cutoff - 1) : self._visible(to_time)]
        return [version for version in shown if version.kind == POINT]

    def greatest_id(self, to_time: int) -> int:
        """The greatest number among the versions visible by `to_time`; 0 without any."""
        visible = self._visible(to_time)
        return self._versions[visible - 1].version_id if visible else 0

    def _visible(self, to_time: int) -> int:
        """How many versions are visible by `to_time`."""
        return bisect_right(self._versions, to_time, key=lambda version: version.visible_time)

    def _close(self, position: int, time: int) -> None:
        """Index a superseded version with an open end as ended."""
        span = self._spans[position]
        if span is not None and span.end is None:
            del self._by_end[bisect_left(self._by_end, (NEVER, position))]
            insort(self._by_end, (time, position))


def _end(span: Span) -> int:
    return NEVER if span.end is None else span.end
