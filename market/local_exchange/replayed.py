"""Candles from a recorded CSV file, at their own times or shifted to the present.

The file's header is candle_time,open,high,low,close,volume (seconds UTC, rows ascending). A hole
in the recording stays a hole.
"""

from __future__ import annotations

import csv
import gzip
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from itertools import groupby
from pathlib import Path

from typing_extensions import override

from market.local_exchange.candles import (
    INTERVALS,
    CandleSource,
    Listing,
    TickCandle,
    floor_to,
    merge,
)
from market.local_exchange.refine import keyed_random, refine

COLUMNS = ("candle_time", "open", "high", "low", "close", "volume")

# The number of states that a recorded candle passes through while it is forming.
_UNFOLDING = 240
_UNFOLDED_KEPT = 16


class RecordingError(ValueError):
    """The file can't be replayed; the text gives the reason."""


@dataclass(frozen=True, slots=True)
class Run:
    """Candles of one length: ascending open times (ms) beside the candles."""

    opens: list[int]
    candles: list[TickCandle]

    def between(self, first_ms: int, last_ms: int) -> slice:
        """The slice of the candles that open within first_ms..last_ms, inclusive."""
        return slice(bisect_left(self.opens, first_ms), bisect_right(self.opens, last_ms))

    def at(self, open_ms: int) -> TickCandle | None:
        """The candle that opens at `open_ms`, if there is one."""
        found = self.between(open_ms, open_ms)
        return self.candles[found.start] if found.stop > found.start else None


class ReplayedCandles(CandleSource):
    """A candle source that replays one recorded series.

    `symbol` is BASE/QUOTE (a settle part is ignored), `interval` the recording's own. Longer
    intervals are aggregated if it divides them; there are no shorter ones. Raises RecordingError.
    """

    def __init__(self, path: Path, *, market: str, symbol: str, interval: str) -> None:
        rows = list(_read(path))
        self.interval_ms = INTERVALS[interval]
        prices = _most_decimals(value for row in rows for value in row[1:5])
        volumes = _most_decimals(row[5] for row in rows)
        base, _, quote = symbol.partition(":")[0].partition("/")
        opens = [_units(row[0], 0) * 1000 for row in rows]
        _check_order(opens, self.interval_ms)
        candles = [_tick_candle(row, prices, volumes) for row in rows]
        self._recorded = Run(opens, candles)
        self._listing = Listing(market, base, quote, prices, volumes, opens[0])
        # By length, and by how much later than usual the candles open.
        self._aggregated = {(self.interval_ms, 0): self._recorded}
        self._unfolded = lru_cache(_UNFOLDED_KEPT)(self._unfold)

    @property
    def first_ms(self) -> int:
        """The open time of the first candle."""
        return self._recorded.opens[0]

    @property
    def end_ms(self) -> int:
        """The close time of the last candle."""
        return self._recorded.opens[-1] + self.interval_ms

    def shift(self, by_ms: int) -> None:
        """Move every candle in time; `by_ms` is a whole number of intervals."""
        if by_ms % self.interval_ms:
            raise ValueError(f"a shift must be a multiple of {self.interval_ms} ms")
        shifted = [open_ms + by_ms for open_ms in self._recorded.opens]
        self._recorded = Run(shifted, self._recorded.candles)
        old = self._listing
        self._listing = Listing(
            old.market, old.base, old.quote, old.price_decimals, old.volume_decimals, shifted[0]
        )
        self._aggregated = {(self.interval_ms, 0): self._recorded}
        self._unfolded.cache_clear()

    @property
    @override
    def finest_ms(self) -> int:
        return self.interval_ms

    @override
    def listings(self) -> Sequence[Listing]:
        return [self._listing]

    @override
    def intervals(self, listing: Listing) -> Mapping[str, int]:
        return {name: size for name, size in INTERVALS.items() if not size % self.interval_ms}

    @override
    def opens(
        self,
        listing: Listing,
        interval_ms: int,
        *,
        first_ms: int,
        last_ms: int,
        offset_ms: int = 0,
    ) -> Sequence[int]:
        run = self._run(interval_ms, offset_ms)
        return run.opens[run.between(first_ms, last_ms)]

    @override
    def candle(
        self, listing: Listing, interval_ms: int, *, open_ms: int, now_ms: int
    ) -> TickCandle | None:
        if open_ms > now_ms:
            return None
        # A closed candle as recorded; a forming one as far as it has unfolded.
        if open_ms + interval_ms <= now_ms:
            offset_ms = open_ms - floor_to(open_ms, interval_ms)
            return self._run(interval_ms, offset_ms).at(open_ms)
        return self.window(listing, start_ms=open_ms, now_ms=now_ms)

    @override
    def window(self, listing: Listing, *, start_ms: int, now_ms: int) -> TickCandle | None:
        current_ms = floor_to(now_ms, self.interval_ms)
        closed = self._recorded.candles[self._recorded.between(start_ms, current_ms - 1)]
        parts = list(closed)
        if (whole := self._recorded.at(current_ms)) is not None:
            steps = 1 + (now_ms - current_ms) * _UNFOLDING // self.interval_ms
            parts += self._unfolded(current_ms, whole)[:steps]
        return merge(parts) if parts else None

    def _unfold(self, open_ms: int, whole: TickCandle) -> tuple[TickCandle, ...]:
        return refine(whole, _UNFOLDING, keyed_random("replay", open_ms))

    def _run(self, interval_ms: int, offset_ms: int) -> Run:
        key = (interval_ms, offset_ms)
        if key not in self._aggregated:
            self._aggregated[key] = self._aggregate(interval_ms, offset_ms)
        return self._aggregated[key]

    def _aggregate(self, interval_ms: int, offset_ms: int) -> Run:
        rows = zip(self._recorded.opens, self._recorded.candles, strict=True)
        result = Run([], [])

        def opened(row: tuple[int, TickCandle]) -> int:
            return floor_to(row[0], interval_ms, offset_ms)

        for open_ms, group in groupby(rows, key=opened):
            result.opens.append(open_ms)
            result.candles.append(merge([candle for _, candle in group]))
        return result


def _read(path: Path) -> Iterator[list[str]]:
    """The rows of a recording after its header, which is checked."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", newline="") as file:
        rows = csv.reader(file)
        header = next(rows, [])
        if tuple(header) != COLUMNS:
            raise RecordingError(f"{path}: the header must be {','.join(COLUMNS)}")
        rows_found = False
        for row in rows:
            rows_found = True
            if len(row) != len(COLUMNS):
                raise RecordingError(f"{path}:{rows.line_num}: {len(COLUMNS)} values expected")
            yield row
    if not rows_found:
        raise RecordingError(f"{path}: no candles")


def _check_order(opens: list[int], interval_ms: int) -> None:
    for before, after in zip([-1, *opens], opens, strict=False):
        if after <= before:
            raise RecordingError(f"candle_time {after // 1000} does not ascend")
        if floor_to(after, interval_ms) != after:
            raise RecordingError(f"candle_time {after // 1000} is off the interval's grid")


def _most_decimals(values: Iterable[str]) -> int:
    return max(_decimals(value) for value in values)


def _decimals(value: str) -> int:
    """The number of decimals, without trailing zeros."""
    if "e" not in value.lower():
        return len(value.partition(".")[2].rstrip("0"))
    exponent = _decimal(value).normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _decimal(value: str) -> Decimal:
    try:
        number = Decimal(value)
    except InvalidOperation as error:
        raise RecordingError(f"{value!r} is not a number") from error
    if not number.is_finite() or number < 0:
        raise RecordingError(f"{value!r} is not a finite number of at least 0")
    return number


def _tick_candle(row: list[str], price_decimals: int, volume_decimals: int) -> TickCandle:
    opened, high, low, closed = (_units(value, price_decimals) for value in row[1:5])
    if not low <= min(opened, closed) <= max(opened, closed) <= high:
        raise RecordingError(f"candle_time {row[0]}: open and close must lie within low..high")
    return TickCandle(opened, high, low, closed, _units(row[5], volume_decimals))


def _units(value: str, decimals: int) -> int:
    return int(_decimal(value).scaleb(decimals))
