"""Timeframes: the length of a candle, and the grid of open times."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache

from market.domain.explained import Explained

UNIT_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}

# 1970-01-01 was a Thursday: the first Monday 00:00 UTC is four days later.
FIRST_MONDAY = 4 * 86_400

# Longer candles are of no use, and their times would exceed what the store can hold.
MAX_SECONDS = 10 * 366 * 86_400

# The end of year 9999: clients can't show a later time.
MAX_TIME = 253_402_300_799

# Between the length and the shift of its grid. Unlike `+` it means nothing else in an address.
GRID_MARK = "~"

_COUNT = re.compile(r"[0-9]{1,9}")


class TimeframeError(Explained, ValueError):
    """An invalid timeframe. The message is part of the wire contract."""


@dataclass(frozen=True, slots=True, order=True)
class Timeframe:
    """The length of a candle in seconds, with the text that names it (``1m``, ``4h``, ``1w``).

    `offset` is by how many seconds the grid is shifted from the Unix epoch: weeks open on Mondays,
    and ``1d~16h`` is days that open at 16:00 UTC, which is midnight in Shanghai.
    """

    seconds: int
    text: str
    offset: int = 0

    @staticmethod
    def parse(text: str) -> Timeframe:
        """Parse ``<count><unit>`` with unit s, m, h, d or w, and a shift of the grid after a ``~``.

        Raises TimeframeError for anything else.
        """
        return _parse(text.strip())

    def open_of(self, time: float) -> int:
        """The open time of the candle that covers `time` (both Unix seconds, UTC)."""
        offset, seconds = self.offset, self.seconds
        return int((time - offset) // seconds) * seconds + offset

    def close_of(self, open_time: int) -> int:
        """The time at which the candle that opens at `open_time` closes."""
        return open_time + self.seconds

    def is_aligned(self, time: int) -> bool:
        """Whether `time` lies on this timeframe's grid of open times."""
        return (time - self.offset) % self.seconds == 0

    def latest_closed(self, now: float) -> int:
        """The open time of the newest candle that has closed at `now`; 0 before the first one."""
        return max(0, self.open_of(now) - self.seconds)

    def canonical(self) -> Timeframe:
        """The one timeframe with this length and grid by which its series are stored: 1h for 60m.

        It has the longest unit that fits, and no shift where there is a name without one: weeks
        that open on Thursdays are 7d.
        """
        return _canonical(self.seconds, self.offset)

    def with_grid(self, offset: int) -> Timeframe:
        """The canonical timeframe of this length whose candles open `offset` after the epoch."""
        return _canonical(self.seconds, offset % self.seconds)

    def __str__(self) -> str:
        return self.text


@lru_cache(maxsize=256)
def _canonical(seconds: int, offset: int) -> Timeframe:
    units = [unit for unit, length in UNIT_SECONDS.items() if seconds % length == 0]
    # Only weeks have a grid of their own.
    unit = units[-1] if offset or units[-1] != "w" else "d"
    by = (offset - (FIRST_MONDAY if unit == "w" else 0)) % seconds
    return _parse(f"{seconds // UNIT_SECONDS[unit]}{unit}" + (f"{GRID_MARK}{by}s" if by else ""))


@lru_cache(maxsize=256)
def _parse(text: str) -> Timeframe:
    length, mark, shift = text.partition(GRID_MARK)
    if not mark:
        return _unshifted(text)
    plain = _unshifted(length)
    # The grid repeats after one candle: equal grids must give the same key in the store.
    by = _unshifted(shift).seconds % plain.seconds
    if not by:
        return plain
    shown = next(unit for unit in reversed(UNIT_SECONDS) if by % UNIT_SECONDS[unit] == 0)
    name = f"{plain.text}{GRID_MARK}{by // UNIT_SECONDS[shown]}{shown}"
    return Timeframe(plain.seconds, name, (plain.offset + by) % plain.seconds)


def _unshifted(text: str) -> Timeframe:
    if not text:
        raise TimeframeError("empty timeframe")
    count, unit = text[:-1], text[-1]
    if unit not in UNIT_SECONDS:
        raise TimeframeError("unsupported timeframe unit: %(unit)r", unit=unit)
    if not _COUNT.fullmatch(count) or not 0 < int(count) * UNIT_SECONDS[unit] <= MAX_SECONDS:
        raise TimeframeError("invalid timeframe: %(text)r", text=text)
    # "01m" and "1m" are the same timeframe, so they must give the same key in the store.
    offset = FIRST_MONDAY if unit == "w" else 0
    return Timeframe(int(count) * UNIT_SECONDS[unit], f"{int(count)}{unit}", offset)


def timeframes_named(names: Iterable[object]) -> dict[str, Timeframe]:
    """The timeframes among some names, such as an exchange's; other names are left out."""
    found = {}
    for name in map(str, names):
        with suppress(TimeframeError):
            found[name] = Timeframe.parse(name)
    return found
