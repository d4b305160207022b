"""The name of a file that holds one series, from which the series can be read again.

``binance_futures_BTC-USDT_1m`` is ``binance:futures:BTC/USDT:1m``. Letters and digits stand for
themselves, ``-`` for ``/``, and ``_`` separates the four parts; everything else is percent-encoded,
so that no two series share a name and no name leaves its folder.
"""

from __future__ import annotations

from urllib.parse import quote, unquote

from market.domain.series import SeriesId, SeriesIdError
from market.domain.timeframe import GRID_MARK, MONTH

SEPARATOR = "_"
SLASH = "-"


def stem_of(series: SeriesId) -> str:
    """The name of the series' file, without the suffix of a format."""
    parts = [_encoded(part) for part in (series.exchange, series.market, series.symbol)]
    length, mark, grid = series.timeframe.text.partition(GRID_MARK)
    # Some file systems do not tell 1M from 1m.
    months = length.replace(MONTH, f"%{ord(MONTH):02X}")
    return SEPARATOR.join([*parts, months + _encoded(mark + grid)])


def series_of(stem: str) -> SeriesId | None:
    """The series of a name that `stem_of` made; None for any other name."""
    parts = stem.split(SEPARATOR)
    if len(parts) != 4:
        return None
    try:
        series = SeriesId.parse(":".join(unquote(part.replace(SLASH, "/")) for part in parts))
    except SeriesIdError:
        return None
    # Another name that reads the same: of another tool, or changed by hand.
    return series if stem_of(series) == stem else None


def _encoded(part: str) -> str:
    return "".join(
        each if each.isalnum() else SLASH if each == "/" else _percent(each) for each in part
    )


def _percent(character: str) -> str:
    # `quote` leaves these four as they are.
    return f"%{ord(character):02X}" if character in "_.-~" else quote(character, safe="")
