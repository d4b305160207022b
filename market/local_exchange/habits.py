"""What an exchange does all the time: what trades, what REST serves, and what its rows look like.

`Habits` are those of one series. Without any, nothing here costs more than a look at an empty
tuple.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from market.domain.feed import Missing
from market.local_exchange.candles import SECOND_MS, Listing, SeriesKey, TickCandle
from market.local_exchange.faults import Fault, Kind

# Ranges kept for each series; the oldest are forgotten beyond that.
_RANGES_KEPT = 1_000

MAINTENANCE = "<html><head><title>Maintenance</title></head><body>We'll be back soon</body></html>"


class Range(NamedTuple):
    """Open times of a first and a last candle (ms), inclusive."""

    first: int
    last: int

    def meets(self, span: tuple[int, int] | None) -> bool:
        """Whether it has a candle within a span of seconds, inclusive; None stands for all."""
        if span is None:
            return True
        return self.first <= span[1] * SECOND_MS and span[0] * SECOND_MS <= self.last


@dataclass(frozen=True, slots=True)
class Habits:
    """The active faults and habits of one series."""

    faults: tuple[Fault, ...] = ()

    def of(self, kind: Kind) -> Iterator[Fault]:
        """Those of a kind, the oldest first."""
        return (fault for fault in self.faults if fault.request.kind is kind)

    def first(self, kind: Kind) -> Fault | None:
        """The oldest of a kind, if there is one."""
        return next(self.of(kind), None)

    @property
    def offset_ms(self) -> int:
        """How much later than usual candles open."""
        return sum(fault.request.offset_s for fault in self.of(Kind.GRID)) * SECOND_MS

    def untraded(self, open_ms: int, interval_ms: int) -> Kind | None:
        """Why nothing is traded in a candle; None if something is."""
        for fault in self.faults:
            kind = fault.request.kind
            if kind is Kind.QUIET and _is_quiet(fault, open_ms, interval_ms):
                return kind
            if kind is Kind.LATE_LISTING and open_ms < fault.request.at * SECOND_MS:
                return kind
            if kind is Kind.HALT and open_ms > fault.since_ms:
                return kind
        return None

    def provisional(
        self, candle: TickCandle, listing: Listing, *, open_ms: int, interval_ms: int, now_ms: int
    ) -> TickCandle:
        """A closed candle as it is shown until it is corrected, without a word, bars later."""
        for fault in self.of(Kind.LATE_CORRECTION):
            request = fault.request
            bars = (now_ms - open_ms) // interval_ms
            is_chosen = not request.every or fault.chooses(open_ms, interval_ms)
            if is_chosen and 0 < bars <= request.bars:
                candle = fault.revised(candle, listing)
        return candle

    def oldest_served_ms(self, current_ms: int, interval_ms: int) -> int:
        """The open time of the oldest candle that REST serves while `current_ms` is forming."""
        kept = [
            fault.request.bars
            for kind in (Kind.NEWEST_ONLY, Kind.REFUSE_OLD)
            for fault in self.of(kind)
        ]
        return current_ms - (min(kept) - 1) * interval_ms if kept else 0

    def bad_row(self, open_ms: int, interval_ms: int, *, on: str) -> Fault | None:
        """What makes a candle's row bad on REST (`rest`) or in the streams (`streams`)."""
        for fault in self.of(Kind.BAD_ROWS):
            request = fault.request
            if request.target in (on, "all") and fault.chooses(open_ms, interval_ms):
                return fault
        return None

    def unusable(self, asked: Range) -> Fault | None:
        """What makes the answer about these candles unusable; uses up its count."""
        for fault in self.of(Kind.UNUSABLE):
            if fault.remaining == 0 or not asked.meets(fault.request.span):
                continue
            if fault.remaining is not None:
                fault.remaining -= 1
            return fault
        return None


NO_HABITS = Habits()


def _is_quiet(fault: Fault, open_ms: int, interval_ms: int) -> bool:
    request = fault.request
    if fault.chooses(open_ms, interval_ms):
        return True
    if not request.every_s:
        return False
    return open_ms % (request.every_s * SECOND_MS) + interval_ms <= request.for_s * SECOND_MS


class Figures(NamedTuple):
    """The open time (ms) and the figures of a candle as its row spells them."""

    opened: int
    open: str | None
    high: str | None
    low: str | None
    close: str | None
    volume: str | None


def spoiled(figures: Figures, fault: Fault) -> Figures:
    """The figures of a candle with what the fault does to its row."""
    match fault.request.row:
        case "zeros":
            return Figures(figures.opened, *["0"] * 5)
        case "nulls":
            return Figures(figures.opened, *[None] * 5)
        case "other_unit":
            return figures._replace(opened=figures.opened * 1_000)
        case _:
            return _with_dust(figures)


def _with_dust(figures: Figures) -> Figures:
    """Where the range ends at the open or close, it ends a floating-point step before it."""
    opened, high, low, closed = (float(text or 0) for text in figures[1:5])
    if low == min(opened, closed):
        figures = figures._replace(low=repr(math.nextafter(low, math.inf)))
    if high == max(opened, closed):
        figures = figures._replace(high=repr(math.nextafter(high, 0.0)))
    return figures


class Unanswered:
    """The ranges for which a series' last answer was unusable."""

    def __init__(self) -> None:
        self._ranges: dict[SeriesKey, list[Range]] = {}

    def add(self, key: SeriesKey, asked: Range) -> None:
        """Record an unusable answer."""
        known = self._ranges.setdefault(key, [])
        known.append(asked)
        del known[:-_RANGES_KEPT]

    def remove(self, key: SeriesKey, served: Range) -> None:
        """Forget what was answered properly since."""
        if key not in self._ranges:
            return
        left = []
        for first, last in self._ranges.pop(key):
            parts = ((first, min(last, served.first - 1)), (max(first, served.last + 1), last))
            left += [Range(*part) for part in parts if part[0] <= part[1]]
        if left:
            self._ranges[key] = left[-_RANGES_KEPT:]

    def has(self, key: SeriesKey, open_ms: int) -> bool:
        """Whether the last answer about a candle was unusable."""
        return any(first <= open_ms <= last for first, last in self._ranges.get(key, ()))


@dataclass(frozen=True, slots=True)
class Absence:
    """Successive candles that REST does not serve, and the true reason."""

    range: Range
    why: Missing
    kind: Kind | None

    @property
    def as_object(self) -> dict[str, object]:
        """The absence in seconds, as the control endpoint shows it."""
        return {
            "from_time": self.range.first // SECOND_MS,
            "to_time": self.range.last // SECOND_MS,
            "why": self.why.value,
            "kind": None if self.kind is None else self.kind.value,
        }
