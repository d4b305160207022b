"""Decides of each row of a file whether it is a candle of the series, and names what is wrong."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, tzinfo

from market.candle_files.columns import VALUE_COLUMNS
from market.candle_files.refusals import FileRefused, Refusals, RowRefused
from market.candle_files.times import TimeRefused, read_compact_time, read_time
from market.domain.candle import Candle, CandleError, is_closed, sourced
from market.domain.series import SeriesId, SeriesIdError

# Python's float() also takes `1_000`, digits of other scripts, `nan` and `infinity`.
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)

MAX_SHOWN = 40
"""Characters of a wrong value that are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How the rows of a file are judged; candles are closed as of `now` (Unix seconds).

    `off_grid` accepts open times that do not lie on the timeframe's grid. `zone` is the time zone
    of times that name none.
    """

    now: float
    off_grid: bool = False
    zone: tzinfo = UTC


@dataclass(slots=True)
class Judge:
    """The checks of the rows of one series. `forms` counts in which forms times were found."""

    series: SeriesId
    rules: Rules
    refusals: Refusals
    forms: Counter[str]

    def text_row(
        self, line: int, time: str, values: list[str], *, compact_dates: bool = False
    ) -> Candle | None:
        """The candle of a row of text; None if the row was refused."""
        read = read_compact_time if compact_dates else read_time
        try:
            seconds, form = read(time, self.rules.zone)
            numbers = [
                _number(line, name, text) for name, text in zip(VALUE_COLUMNS, values, strict=True)
            ]
        except TimeRefused as error:
            self.refusals.add(RowRefused(line, error.code, str(error), found=time[:MAX_SHOWN]))
            return None
        except RowRefused as error:
            self.refusals.add(error)
            return None
        self.forms[form] += 1
        return self.row(line, seconds, numbers)

    def row(self, line: int, time: int, numbers: list[float]) -> Candle | None:
        """The candle of a row of numbers; None if the row was refused."""
        given = Candle(time, *numbers)
        try:
            candle = sourced(given)
            self._check_time(line, time)
        except CandleError as error:
            self.refusals.add(RowRefused(line, "impossible_candle", str(error)))
            return None
        except RowRefused as error:
            self.refusals.add(error)
            return None
        return candle

    def _check_time(self, line: int, time: int) -> None:
        timeframe = self.series.timeframe
        if not self.rules.off_grid and not timeframe.is_aligned(time):
            if timeframe.is_aligned(time + 1):
                reason = "candle_time is a close time, the open time is needed"
                raise RowRefused(line, "close_time", reason, found=str(time))
            reason = f"candle_time is not on the {timeframe} grid"
            raise RowRefused(line, "off_grid", reason, found=str(time))
        if not is_closed(time, timeframe, self.rules.now):
            raise RowRefused(line, "still_open", "the candle is still open", found=str(time))


class Judges:
    """The judges of one file: of the series that is given, or of each that its rows name."""

    def __init__(
        self,
        given: SeriesId | None,
        rules: Rules,
        *,
        refusals: Refusals | None = None,
        admit: Callable[[SeriesId], object] = lambda series: None,
    ) -> None:
        """`admit` raises FileRefused for a series that can't be imported."""
        self.rules = rules
        self.refusals = refusals or Refusals()
        self.forms: Counter[str] = Counter()
        self._given = given
        self._admit = admit
        self._known: dict[str, Judge] = {}

    def only(self, named: str = "") -> Judge:
        """The judge of a file with one series; `named` is the one that the file itself names.

        Raises FileRefused if neither is known.
        """
        series = self._given or (parsed_series(named) if named else None)
        if series is None:
            message = "neither the file nor its name has a series: give it as an argument"
            raise FileRefused("no_series", message)
        return self._judge(series)

    def of(self, row: int, name: str) -> Judge | None:
        """The judge of a row that names its series; None if the row was refused."""
        if (known := self._known.get(name)) is not None:
            return known
        try:
            series = parsed_series(name)
            if self._given not in (None, series):
                raise FileRefused("other_series", f"the row is not of {self._given}")
            return self._judge(series)
        except FileRefused as error:
            message = str(error).removeprefix(f"{error.code}: ")
            self.refusals.add(RowRefused(row, error.code, message, found=name[:MAX_SHOWN]))
            return None

    def _judge(self, series: SeriesId) -> Judge:
        if (judge := self._known.get(str(series))) is None:
            self._admit(series)
            judge = Judge(series, self.rules, self.refusals, self.forms)
            self._known[str(series)] = judge
        return judge


def parsed_series(name: str) -> SeriesId:
    """The series of an id or of another name of it; raises FileRefused."""
    try:
        return SeriesId.parse(name).canonical()
    except SeriesIdError as error:
        raise FileRefused("no_series", str(error)) from error


def _number(line: int, name: str, text: str) -> float:
    if _NUMBER.fullmatch(text):
        return float(text)
    found = text[:MAX_SHOWN]
    if _NOT_FINITE.fullmatch(text):
        raise RowRefused(line, "not_finite", f"{name} must be a finite number", found=found)
    raise RowRefused(line, "not_a_number", f"{name} is not a number", found=found)
