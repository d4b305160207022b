"""The formats of text files, as a table: a new format is a row."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass

from market.candle_files.columns import COLUMNS, CSV_HEADER, SERIES_COLUMN
from market.candle_files.refusals import FileRefused, RowRefused

Places = tuple[int | tuple[int, int], int, int, int, int, int]
"""Where open time, open, high, low, close and volume are; a pair is a date and a time of day."""

STRAIGHT: Places = (0, 1, 2, 3, 4, 5)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextFormat:
    """A layout of lines. `header` are the first names of the header, in lower case; `x*` begins so.

    Without a header it is recognised by the number of values in a line, all of them numbers.
    `spare_volume` is where the volume is if the first lines have none at its place, `series_at`
    where each row names its series.
    """

    name: str
    at: Places = STRAIGHT
    header: tuple[str, ...] = ()
    values: int = 0
    spare_volume: int | None = None
    compact_dates: bool = False
    series_at: int | None = None

    def fits(self, names: Sequence[str]) -> bool:
        """Whether the first line, in lower case, is one of this format."""
        if not self.header:
            return len(names) == self.values and all(map(_is_number, names))
        return len(names) >= len(self.header) and all(
            name.startswith(wanted[:-1]) if wanted.endswith("*") else name == wanted
            for name, wanted in zip(names, self.header, strict=False)
        )


PRICES = ("open", "high", "low", "close")

FORMATS = (
    TextFormat(name="csv", header=COLUMNS),
    TextFormat(name="csv", header=(SERIES_COLUMN, *COLUMNS), at=(1, 2, 3, 4, 5, 6), series_at=0),
    # data.binance.vision: without a header, with one in newer futures files.
    TextFormat(name="binance", header=("open_time", *PRICES, "volume", "close_time")),
    TextFormat(name="binance", values=12),
    TextFormat(
        name="cryptodatadownload",
        header=("unix", "date", "symbol", *PRICES, "volume*"),
        at=(0, 3, 4, 5, 6, 7),
    ),
    TextFormat(
        name="cryptodatadownload",
        header=("date", "symbol", *PRICES, "volume*"),
        at=(0, 2, 3, 4, 5, 6),
    ),
    TextFormat(
        name="gemini",
        header=("unix_timestamp", "date", "symbol", *PRICES, "volume"),
        at=(0, 3, 4, 5, 6, 7),
    ),
    TextFormat(
        name="kucoin",
        header=("time", "open", "close", "high", "low", "volume", "turnover"),
        at=(0, 1, 3, 4, 2, 5),
    ),
    # Prices are as traded; the column of adjusted closes is left out.
    TextFormat(
        name="yahoo", header=("date", *PRICES, "adj_close", "volume"), at=(0, 1, 2, 3, 4, 6)
    ),
    TextFormat(name="stooq", header=("date", *PRICES, "volume")),
    TextFormat(
        name="stooq",
        header=("data", "otwarcie", "najwyzszy", "najnizszy", "zamkniecie", "wolumen"),
    ),
    TextFormat(
        name="stooq",
        header=("ticker", "per", "date", "time", *PRICES, "vol"),
        at=((2, 3), 4, 5, 6, 7, 8),
        compact_dates=True,
    ),
    # Most brokers know no real volume, only the number of ticks.
    TextFormat(
        name="mt5",
        header=("date", "time", *PRICES, "tickvol", "vol"),
        at=((0, 1), 2, 3, 4, 5, 7),
        spare_volume=6,
    ),
    TextFormat(
        name="mt5",
        header=("date", *PRICES, "tickvol", "vol"),
        at=(0, 1, 2, 3, 4, 6),
        spare_volume=5,
    ),
    TextFormat(name="kraken", values=7),
)

NAMED = "named"
"""Any other order of columns whose names say what they are."""

TIME_NAMES = (
    "candle_time", "open_time", "time", "timestamp", "unix", "unix_timestamp", "date", "datetime",
    "start", "start_at",
)  # fmt: skip
CLOSE_TIME_NAMES = ("close_time", "closetime", "end_time", "end")
VOLUME_NAMES = ("volume", "vol", "base_volume", "volume_base")

TEXT_FORMATS = tuple(dict.fromkeys((*(each.name for each in FORMATS), NAMED)))

DELIMITERS = "\t;,"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where the candles are in the lines of one file. `skip` counts the lines before the first."""

    name: str
    at: Places
    width: int
    delimiter: str = ","
    skip: int = 0
    compact_dates: bool = False
    series_at: int | None = None


JSON_LAYOUT = Layout(name="json", at=STRAIGHT, width=0)
"""Arrays of open time, open, high, low, close, volume; more values may follow."""


def layout_of(lines: Sequence[str], wanted: str = "") -> Layout:
    """Recognise the layout by the first lines of a file; raises FileRefused.

    With `wanted` only the format of this name is taken.
    """
    skip = next((at for at, line in enumerate(lines) if not _is_before_header(line)), len(lines))
    first = lines[skip] if skip < len(lines) else ""
    delimiter = next((each for each in DELIMITERS if each in first), ",")
    rows = [next(csv.reader([line], delimiter=delimiter), []) for line in lines[skip:]]
    names = [_plain(name) for name in rows[0]] if rows else []
    for each in FORMATS:
        if wanted in ("", each.name) and each.fits(names):
            return Layout(
                name=each.name,
                at=_with_volume(each, rows[1:]),
                width=len(names),
                delimiter=delimiter,
                skip=skip + bool(each.header),
                compact_dates=each.compact_dates,
                series_at=each.series_at,
            )
    at = named_places(names) if wanted in ("", NAMED) else None
    if at is None:
        raise _unknown(skip + 1, first, wanted)
    return Layout(name=NAMED, at=at, width=len(names), delimiter=delimiter, skip=skip + 1)


def named_places(names: Sequence[str]) -> Places | None:
    """Where the columns are by their names; None if one is missing.

    Raises FileRefused if the only time is the close time.
    """
    found = {name: at for at, name in reversed(list(enumerate(names)))}
    volume = next((found[name] for name in VOLUME_NAMES if name in found), None)
    if volume is None or not all(name in found for name in PRICES):
        return None
    time = next((found[name] for name in TIME_NAMES if name in found), None)
    if time is None:
        if any(name in found for name in CLOSE_TIME_NAMES):
            raise FileRefused("close_time", "the file has close times, open times are needed")
        return None
    open_, high, low, close = (found[name] for name in PRICES)
    return (time, open_, high, low, close, volume)


def _with_volume(chosen: TextFormat, rows: Sequence[Sequence[str]]) -> Places:
    spare, at = chosen.spare_volume, chosen.at
    if spare is None or any(len(row) > at[5] and row[at[5]].strip("0.") for row in rows):
        return at
    return (*at[:5], spare)


def _is_before_header(line: str) -> bool:
    text = line.strip()
    return not text or text.startswith(("#", "http://", "https://"))


def _plain(name: str) -> str:
    return name.strip().strip("<>\"'").strip().lower().replace(" ", "_")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _unknown(line: int, found: str, wanted: str) -> RowRefused:
    known = f"of the format {wanted}" if wanted else f"one of {', '.join(TEXT_FORMATS)}"
    message = f"the header must be {CSV_HEADER}, or {known}"
    return RowRefused(line, "unknown_format", message, found=found[:120])
