"""How the holes of one series combine: disjoint ranges of time, each with one state. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from market.domain.series import SeriesId

Range = tuple[int, int]


class GapState(StrEnum):
    """The state of a hole; ABSENT: the exchange has no candles there."""

    OPEN = "open"
    REPAIRING = "repairing"
    FILLED = "filled"
    ABSENT = "absent"


UNSETTLED = (GapState.OPEN, GapState.REPAIRING)


@dataclass(frozen=True, slots=True, kw_only=True)
class GapEntry:
    """A hole in a series, by the open times of its first and last missing candle.

    `attempts` counts the repairs that were begun; `updated_at` is in Unix seconds.
    """

    series: SeriesId
    from_time: int
    to_time: int
    reason: str
    state: GapState
    attempts: int = 0
    updated_at: float = 0.0

    def part(self, start: int, end: int) -> GapEntry | None:
        """The part of this hole within a range, None when there is none."""
        start, end = max(start, self.from_time), min(end, self.to_time)
        return replace(self, from_time=start, to_time=end) if start <= end else None


def noticed(entries: Iterable[GapEntry], new: GapEntry) -> list[GapEntry]:
    """The entries after a new one is added.

    It replaces older entries of the same times. Only OPEN does not replace open, repairing or
    absent: a hole that is noticed again keeps its state and its attempts.
    """
    step = new.series.timeframe.seconds
    kept: list[GapEntry] = []
    uncovered: list[Range] = [(new.from_time, new.to_time)]
    for old in entries:
        inside = old.part(new.from_time, new.to_time)
        if inside is None:
            kept.append(old)
        elif new.state is GapState.OPEN and old.state is not GapState.FILLED:
            kept.append(old)
            uncovered = without(uncovered, (old.from_time, old.to_time), step)
        else:
            kept.extend(_outside(old, inside, step))
    fresh = [replace(new, from_time=start, to_time=end) for start, end in uncovered]
    return _joined([*kept, *fresh], step)


def changed(
    entries: Iterable[GapEntry], span: Range, *, state: GapState, was: GapState | None, now: float
) -> list[GapEntry]:
    """The entries with a new state within `span`, where they had the state `was` (None: any)."""
    result: list[GapEntry] = []
    step = 1
    for old in entries:
        step = old.series.timeframe.seconds
        inside = old.part(*span)
        if inside is None or (was is not None and old.state is not was):
            result.append(old)
        else:
            result.extend(_outside(old, inside, step))
            result.append(replace(inside, state=state, updated_at=now))
    return _joined(result, step)


def _outside(whole: GapEntry, inside: GapEntry, step: int) -> Iterator[GapEntry]:
    before = whole.part(whole.from_time, inside.from_time - step)
    after = whole.part(inside.to_time + step, whole.to_time)
    yield from (part for part in (before, after) if part is not None)


def without(ranges: Iterable[Range], hole: Range, step: int) -> list[Range]:
    """The ranges with a hole cut out; all are open times with both ends inclusive."""
    left: list[Range] = []
    for start, end in ranges:
        pieces = [(start, min(end, hole[0] - step)), (max(start, hole[1] + step), end)]
        left.extend(piece for piece in pieces if piece[0] <= piece[1])
    return left


def without_all(span: Range, holes: Iterable[Range], step: int) -> list[Range]:
    """The parts of `span` between the holes."""
    left = [span]
    for hole in holes:
        left = without(left, hole, step)
    return left


def _joined(entries: Iterable[GapEntry], step: int) -> list[GapEntry]:
    """Merge adjacent entries of one state, so that a long outage stays one entry."""
    result: list[GapEntry] = []
    for entry in sorted(entries, key=lambda each: each.from_time):
        last = result[-1] if result else None
        if last is not None and _joins(last, entry, step):
            updated_at = max(last.updated_at, entry.updated_at)
            result[-1] = replace(last, to_time=entry.to_time, updated_at=updated_at)
        else:
            result.append(entry)
    return result


def _joins(left: GapEntry, right: GapEntry, step: int) -> bool:
    # Unsettled holes are merged only after the same number of attempts.
    same = left.state is right.state
    return (
        same
        and left.to_time + step >= right.from_time
        and (left.state not in UNSETTLED or left.attempts == right.attempts)
    )
