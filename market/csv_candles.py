"""Candles as CSV: one header, one line per candle, floats in their shortest exact form."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import TextIO

from market.domain.candle import Candle, CandleError, sourced
from market.domain.timeframe import Timeframe

COLUMNS = Candle._fields
HEADER = ",".join(COLUMNS)


class CsvError(ValueError):
    """An invalid line; `line` counts from 1, the header included."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(f"line {line}: {message}")
        self.line = line


def read_candles(lines: TextIO, timeframe: Timeframe | None) -> Iterator[tuple[int, Candle]]:
    """Checked candles with their line numbers; raises CsvError at the first wrong line.

    Open times must ascend, and lie on the grid of `timeframe` if one is given.
    """
    rows = csv.reader(lines, strict=True)
    previous = -1
    try:
        _require_header(next(rows, []))
        for row in rows:
            candle = _candle(row, rows.line_num)
            candle = _checked(candle, rows.line_num, timeframe=timeframe, after=previous)
            previous = candle.candle_time
            yield rows.line_num, candle
    except csv.Error as error:
        raise CsvError(rows.line_num, str(error)) from error
    except UnicodeDecodeError as error:
        raise CsvError(rows.line_num + 1, "the file is not UTF-8 text") from error


def _require_header(row: list[str]) -> None:
    if tuple(name.strip() for name in row) != COLUMNS:
        raise CsvError(1, f"the header must be {HEADER}")


def _candle(row: list[str], line: int) -> Candle:
    if len(row) != len(COLUMNS):
        raise CsvError(line, f"{len(COLUMNS)} values expected, {len(row)} found")
    try:
        # Adding zero turns -0.0 into 0.0, as every store does.
        return Candle(int(row[0]), *(float(text) + 0.0 for text in row[1:]))
    except ValueError:
        wrong = next(
            name for name, text in zip(COLUMNS, row, strict=True) if not _is_number(name, text)
        )
        raise CsvError(line, f"{wrong} is not a number") from None


def _is_number(name: str, text: str) -> bool:
    try:
        int(text) if name == "candle_time" else float(text)
    except ValueError:
        return False
    return True


def _checked(candle: Candle, line: int, *, timeframe: Timeframe | None, after: int) -> Candle:
    try:
        candle = sourced(candle, timeframe)
    except CandleError as error:
        raise CsvError(line, str(error)) from error
    if candle.candle_time <= after:
        raise CsvError(line, "candle_time must be later than on the line before")
    return candle


def write_candles(out: TextIO, candles: list[Candle]) -> int:
    """Write lines without a header; returns their number."""
    out.writelines(
        f"{time},{open_!r},{high!r},{low!r},{close!r},{volume!r}\n"
        for time, open_, high, low, close, volume in candles
    )
    return len(candles)
