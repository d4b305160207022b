"""How the holes of one series combine: disjoint ranges of time, each with one state. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from market.domain.series import SeriesId

Range = tuple[int, int]

MAX_ATTEMPTS = 10
# While the exchange can't be reached the first attempts come quickly; all others are hours apart.
QUICK_ATTEMPTS = 5
FIRST_PAUSE_S = 30.0
FIRST_SLOW_PAUSE_S = 3_600.0
LONGEST_PAUSE_S = 86_400.0
# A repair that takes longer than this has died with its worker.
REPAIR_TIMEOUT_S = 900.0


class GapState(StrEnum):
    """The state of a hole."""

    OPEN = "open"
    """Noticed; the exchange was not asked for it, or could not be reached."""
    REPAIRING = "repairing"
    """A worker requests it."""
    REPAIRED = "repaired"
    """Stored by now."""
    QUIET = "quiet"
    """One answer has candles on both sides of it: nothing was traded. Final."""
    UNSERVED = "unserved"
    """The exchange does not serve it by this way: import the candles, or build them from trades."""
    UNANSWERED = "unanswered"
    """The answer was empty or unreadable: requested again, hours apart."""
    DROPPED = "dropped"
    """Our check refused the rows that the exchange sent: requested again, hours apart."""


# Those that are requested again, and those that are not.
UNSETTLED = (GapState.OPEN, GapState.REPAIRING, GapState.UNANSWERED, GapState.DROPPED)
SETTLED = tuple(state for state in GapState if state not in UNSETTLED)

# The older states that a newer one does not replace: what is known stays known, and what is noticed
# again keeps its attempts.
_STAYS: dict[GapState, tuple[GapState, ...]] = {
    GapState.OPEN: tuple(state for state in GapState if state is not GapState.REPAIRED),
    GapState.UNANSWERED: (GapState.QUIET, GapState.UNSERVED, GapState.UNANSWERED),
    GapState.UNSERVED: (GapState.QUIET,),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What an answer of the exchange showed about a hole.

    `asked` is the window of the request, or of adjacent requests with the same outcome; `bars` are
    the candles next to the hole in one answer, None unless it has them on both sides.
    """

    asked: Range
    bars: Range | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GapEntry:
    """A hole in a series, by the open times of its first and last missing candle.

    `reason` is for people: what the exchange refused, or why our check did. `rows` counts the rows
    that the check refused. `attempts` counts the repairs that were begun; the next one is due at
    `next_attempt_at` (None: never). Times of `…_at` are Unix seconds.
    """

    series: SeriesId
    from_time: int
    to_time: int
    reason: str
    state: GapState
    rows: int = 0
    evidence: Evidence | None = None
    attempts: int = 0
    next_attempt_at: float | None = None
    noticed_at: float = 0.0
    updated_at: float = 0.0

    @property
    def missing_candles(self) -> int:
        """How many candles are missing."""
        return (self.to_time - self.from_time) // self.series.timeframe.seconds + 1

    def part(self, start: int, end: int) -> GapEntry | None:
        """The part of this hole within a range, None when there is none."""
        start, end = max(start, self.from_time), min(end, self.to_time)
        return replace(self, from_time=start, to_time=end) if start <= end else None

    def at(self, now: float) -> GapEntry:
        """This hole as it is noted at `now`, with its next attempt planned."""
        noted = replace(self, noticed_at=self.noticed_at or now, updated_at=now)
        return noted.planned(now)

    def planned(self, now: float) -> GapEntry:
        """This hole with the next attempt that its state asks for."""
        pause = pause_after(self.state, self.attempts)
        return replace(self, next_attempt_at=None if pause is None else now + pause)

    def begun(self, now: float) -> GapEntry:
        """This hole while a repair runs."""
        began = replace(self, state=GapState.REPAIRING, attempts=self.attempts + 1, updated_at=now)
        return began.planned(now)


def pause_after(state: GapState, attempts: int) -> float | None:
    """Seconds until the next repair after so many of them; None when there is none."""
    if state is GapState.REPAIRING:
        return REPAIR_TIMEOUT_S
    if state not in UNSETTLED or attempts >= MAX_ATTEMPTS:
        return None
    if state is GapState.OPEN and attempts < QUICK_ATTEMPTS:
        return FIRST_PAUSE_S * 2**attempts / 2 if attempts else 0.0
    slow = attempts - QUICK_ATTEMPTS if state is GapState.OPEN else attempts
    return min(LONGEST_PAUSE_S, FIRST_SLOW_PAUSE_S * 2.0**slow)


def is_due(entry: GapEntry, now: float) -> bool:
    """Whether a repair of the hole should begin now."""
    return entry.next_attempt_at is not None and now >= entry.next_attempt_at


def noticed(entries: Sequence[GapEntry], new: GapEntry) -> list[GapEntry]:
    """The ascending entries after a new one is added.

    It replaces older entries of the same times, and takes their attempts over, except where the
    older state stays: see `_STAYS`.
    """
    step = new.series.timeframe.seconds
    low = bisect_left(entries, new.from_time - step, key=lambda entry: entry.to_time)
    high = bisect_right(entries, new.to_time + step, key=lambda entry: entry.from_time)
    kept: list[GapEntry] = []
    uncovered: list[Range] = [(new.from_time, new.to_time)]
    for old in entries[low:high]:
        inside = old.part(new.from_time, new.to_time)
        if inside is None or old.state in _STAYS.get(new.state, ()) or _is_again(old, new):
            kept.append(old)
        else:
            kept.extend([*_outside(old, inside, step), _followed(inside, new)])
        if inside is not None:
            uncovered = without(uncovered, (old.from_time, old.to_time), step)
    fresh = [replace(new, from_time=start, to_time=end) for start, end in uncovered]
    return [*entries[:low], *_joined([*kept, *fresh], step), *entries[high:]]


def _is_again(old: GapEntry, new: GapEntry) -> bool:
    """Whether a new entry shows what is known already, outside of a repair."""
    if new.state is GapState.QUIET:
        return old.state is GapState.QUIET and old.evidence is not None
    is_same = (old.state, old.reason) == (new.state, new.reason)
    return is_same and new.state is GapState.DROPPED


def _followed(old: GapEntry, new: GapEntry) -> GapEntry:
    """A new entry at the times of the older one that it replaces."""
    same = replace(new, from_time=old.from_time, to_time=old.to_time)
    if old.state not in UNSETTLED or new.state not in UNSETTLED:
        return same
    return replace(same, attempts=old.attempts, noticed_at=old.noticed_at).planned(new.updated_at)


def changed(
    entries: Iterable[GapEntry],
    span: Range,
    *,
    state: GapState,
    was: Iterable[GapState] = tuple(GapState),
    now: float,
    reason: str | None = None,
) -> list[GapEntry]:
    """The entries with a new state within `span`, where they had one of the states `was`.

    A `reason`, if it is given, replaces theirs.
    """
    result: list[GapEntry] = []
    step = 1
    for old in entries:
        step = old.series.timeframe.seconds
        inside = old.part(*span)
        if inside is None or old.state not in was:
            result.append(old)
            continue
        result.extend(_outside(old, inside, step))
        new = replace(inside, state=state, reason=old.reason if reason is None else reason)
        if state is GapState.REPAIRED:
            new = replace(new, evidence=None, rows=0)
        result.append(replace(new, updated_at=now).planned(now))
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
    """The parts of `span` between the ascending holes."""
    left: list[Range] = []
    start, end = span
    for first, last in holes:
        if first > end:
            break
        if start < first:
            left.append((start, first - step))
        start = max(start, last + step)
    return [*left, (start, end)] if start <= end else left


def common(left: Sequence[Range], right: Sequence[Range]) -> Iterator[tuple[Range, int]]:
    """What two ascending sequences of ranges have in common, with the index of the left one."""
    one = other = 0
    while one < len(left) and other < len(right):
        start = max(left[one][0], right[other][0])
        end = min(left[one][1], right[other][1])
        if start <= end:
            yield (start, end), one
        if left[one][1] < right[other][1]:
            one += 1
        else:
            other += 1


def _joined(entries: Iterable[GapEntry], step: int) -> list[GapEntry]:
    """Merge adjacent entries of one kind, so that a long outage stays one entry."""
    result: list[GapEntry] = []
    for entry in sorted(entries, key=lambda each: each.from_time):
        if result and _joins(result[-1], entry, step):
            result[-1] = _merged(result[-1], entry)
        else:
            result.append(entry)
    return result


def _joins(left: GapEntry, right: GapEntry, step: int) -> bool:
    if left.state is not right.state or left.to_time + step < right.from_time:
        return False
    if left.state is GapState.REPAIRED:
        return left.reason == right.reason
    if left.state is GapState.QUIET:
        # Each has candles of its own on both sides; parts of one hole may join again.
        return left.evidence == right.evidence
    # Unsettled holes are merged only after the same number of attempts.
    is_alike = left.reason == right.reason and left.attempts == right.attempts
    return is_alike and (left.evidence is None) == (right.evidence is None)


def _merged(left: GapEntry, right: GapEntry) -> GapEntry:
    """Two adjacent entries as one, which shows no more than both of them did."""
    evidence, rows = left.evidence, max(left.rows, right.rows)
    if evidence is not None and right.evidence is not None and evidence != right.evidence:
        first, second = evidence.asked, right.evidence.asked
        if first[1] < second[0]:
            rows = left.rows + right.rows
        evidence = Evidence(asked=(min(first[0], second[0]), max(first[1], second[1])))
    planned = [
        entry.next_attempt_at for entry in (left, right) if entry.next_attempt_at is not None
    ]
    return replace(
        left,
        to_time=right.to_time,
        rows=rows,
        evidence=evidence,
        attempts=max(left.attempts, right.attempts),
        next_attempt_at=min(planned, default=None),
        noticed_at=min(left.noticed_at, right.noticed_at),
        updated_at=max(left.updated_at, right.updated_at),
    )
