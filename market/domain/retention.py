"""How long candles are kept, by timeframe: the setting `1s=7d,1m=2y`."""

from __future__ import annotations

import re
from collections.abc import Mapping

from market.domain.timeframe import Timeframe, TimeframeError

LEAST_CANDLES = 2_000
"""What a page shows, and what drawings reach back, by default."""

UNITS = {"m": 60, "h": 3_600, "d": 86_400, "w": 604_800, "y": 31_536_000}

_LENGTH = re.compile(r"([0-9]{1,9})([mhdwy])")

Bounds = Mapping[Timeframe, int]
"""Seconds that candles of a timeframe are kept, counted back from the newest candle."""


class RetentionError(ValueError):
    """A setting that must not be guessed at, since it deletes candles."""


def parse_retention(text: str, *, least_candles: int = LEAST_CANDLES) -> dict[Timeframe, int]:
    """The bounds of a setting; none for an empty one.

    Raises RetentionError for what can't be read, a timeframe that is named twice, and a length of
    fewer than `least_candles` candles.
    """
    bounds: dict[Timeframe, int] = {}
    for part in filter(None, (each.strip() for each in text.split(","))):
        name, mark, length = (each.strip() for each in part.partition("="))
        if not mark:
            raise RetentionError(f"{part!r} is not TIMEFRAME=LENGTH, as 1m=2y")
        try:
            timeframe = Timeframe.parse(name).canonical()
        except TimeframeError as error:
            raise RetentionError(f"{part!r}: {error}") from error
        found = _LENGTH.fullmatch(length)
        if found is None:
            raise RetentionError(
                f"{part!r}: the length is a number with m, h, d, w or y (365 days)"
            )
        if timeframe in bounds:
            raise RetentionError(f"{part!r}: {timeframe} is there twice")
        seconds = int(found[1]) * UNITS[found[2]]
        if seconds < least_candles * timeframe.seconds:
            raise RetentionError(
                f"{part!r} is less than {least_candles:,} candles of {timeframe}, which the page,"
                " factors and drawings need"
            )
        bounds[timeframe] = seconds
    return bounds


def oldest_kept(bounds: Bounds, timeframe: Timeframe, newest: int) -> int:
    """From which open time on candles are kept when `newest` is the newest one; 0: all are."""
    seconds = bounds.get(timeframe)
    if seconds is None:
        return 0
    if timeframe.calendar is not None:
        return max(0, timeframe.open_of(newest - seconds))
    return max(0, newest - seconds // timeframe.seconds * timeframe.seconds)
