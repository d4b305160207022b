"""What is read, in columns that take 8 bytes a value, and as frames of pandas, polars and Arrow."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import starmap
from typing import TYPE_CHECKING, Any, NamedTuple

from trade_canvas_client.libraries import arrow_times, library, pandas_index, polars_times

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

VALUES = ("open", "high", "low", "close", "volume")


class Candle(NamedTuple):
    """A closed candle, or with `follow` an open one; `candle_time` is its open time."""

    candle_time: int
    open: float
    high: float
    low: float
    close: float
    volume: float


class Columns:
    """Candles in columns, ascending by time."""

    __slots__ = ("times", "values")

    def __init__(
        self, times: Iterable[int] = (), values: Sequence[Iterable[float]] = ((),) * 5
    ) -> None:
        self.times = array("q", times)
        self.values = tuple(array("d", each) for each in values)

    @staticmethod
    def of(candles: Sequence[dict[str, Any]]) -> Columns:
        """Return the candles of a JSON page as columns. Raises KeyError and TypeError."""
        values = [[float(each[name]) for each in candles] for name in VALUES]
        return Columns([each["candle_time"] for each in candles], values)

    def __len__(self) -> int:
        return len(self.times)

    def __iter__(self) -> Iterator[Candle]:
        return starmap(Candle, zip(self.times, *self.values, strict=True))

    def between(self, first: int, last: int) -> Columns:
        """Return those from `first` to `last`, both inclusive."""
        start, end = bisect_left(self.times, first), bisect_right(self.times, last)
        if start == 0 and end == len(self):
            return self
        return Columns(self.times[start:end], [each[start:end] for each in self.values])

    def extend(self, more: Columns) -> None:
        """Add later candles."""
        self.times.extend(more.times)
        for mine, other in zip(self.values, more.values, strict=True):
            mine.extend(other)

    def newest(self, count: int) -> Columns:
        """Return the last `count`."""
        first = max(0, len(self) - count)
        return Columns(self.times[first:], [each[first:] for each in self.values])


@dataclass(frozen=True, slots=True)
class Candles:
    """Closed candles of one series, of one moment: all of its revisions up to `epoch`.

    Iterate over it for `Candle`s, or make a frame of it. Pass it to `follow` to go on from here.
    """

    series_id: str
    generation: str
    epoch: int
    columns: Columns = field(repr=False)
    start: int = 0
    """The time from which on everything stored is in it."""

    def __len__(self) -> int:
        return len(self.columns)

    def __iter__(self) -> Iterator[Candle]:
        return iter(self.columns)

    def rows(self) -> list[Candle]:
        """Return a list of tuples."""
        return list(self.columns)

    def _named(self) -> Iterator[tuple[str, array[float]]]:
        return zip(VALUES, self.columns.values, strict=True)

    def to_pandas(self) -> pandas.DataFrame:
        """Return a frame on an index of UTC times, with the same in seconds as `candle_time`.

        Its `attrs` are what `follow` needs to go on from it.
        """
        pd = library("pandas")
        index = pandas_index(pd, self.columns.times)
        columns = {"candle_time": self.columns.times, **dict(self._named())}
        # Buffers are copied at once, lists value by value.
        arrays = {name: library("numpy").array(each) for name, each in columns.items()}
        frame: pandas.DataFrame = pd.DataFrame(arrays, index=index)
        frame.attrs = {
            "series_id": self.series_id,
            "generation": self.generation,
            "epoch": self.epoch,
            "start": self.start,
        }
        return frame

    def to_polars(self) -> polars.DataFrame:
        """Return a frame with a column `time` (UTC) and the fields of `Candle`."""
        pl = library("polars")
        times = self.columns.times.tolist()
        values = {name: pl.Series(each.tolist(), dtype=pl.Float64) for name, each in self._named()}
        frame: polars.DataFrame = pl.DataFrame(
            {"time": polars_times(pl, times)}
            | {"candle_time": pl.Series(times, dtype=pl.Int64), **values}
        )
        return frame

    def to_arrow(self) -> pyarrow.Table:
        """Return a table with the same columns."""
        pa = library("pyarrow")
        times = self.columns.times.tolist()
        values = {name: pa.array(each, pa.float64()) for name, each in self._named()}
        return pa.table(
            {"time": arrow_times(pa, times), "candle_time": pa.array(times, pa.int64()), **values}
        )
