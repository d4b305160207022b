"""The series of a read: the canonical id, or another name under which candles are still stored."""

from __future__ import annotations

from market import blocking
from market.domain.series import SeriesId
from market.runtime import candle_store


def readable_series(text: str) -> SeriesId:
    """The series that a read names. Blocking.

    Raises SeriesIdError, and SeriesAlias for another name of a series, unless candles were stored
    under it by an earlier version.
    """
    series = SeriesId.parse(text)
    require_readable(series)
    return series


def require_readable(series: SeriesId) -> None:
    """Raise SeriesAlias as readable_series does. Blocking, for another name only."""
    if not series.is_canonical and blocking.call(candle_store().state, series).head is None:
        series.require_canonical()
