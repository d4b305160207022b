"""Factor events and feature columns as they are read, and as frames."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from trade_canvas_client.libraries import arrow_times, library, pandas_index, polars_times

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow


class FactorEvent(NamedTuple):
    """What a factor found at the candle that opened at `candle_time`; kinds: docs/factors.md."""

    id: int
    candle_time: int
    factor: str
    kind: str
    event_key: str
    payload: dict[str, Any]


NAMES = FactorEvent._fields


@dataclass(frozen=True, slots=True)
class Events:
    """Factor events of one series, ascending by candle time."""

    series_id: str
    generation: str
    epoch: int
    head_time: int | None
    """The newest candle whose events are known."""
    events: tuple[FactorEvent, ...] = field(repr=False)

    def __len__(self) -> int:
        return len(self.events)

    def __iter__(self) -> Iterator[FactorEvent]:
        return iter(self.events)

    def rows(self) -> list[FactorEvent]:
        """Return a list of tuples."""
        return list(self.events)

    def _columns(self) -> dict[str, list[Any]]:
        return {name: [each[at] for each in self.events] for at, name in enumerate(NAMES)}

    def _texts(self) -> dict[str, list[Any]]:
        columns = self._columns()
        payloads = [json.dumps(each, ensure_ascii=False) for each in columns["payload"]]
        return columns | {"payload": payloads}

    def to_pandas(self) -> pandas.DataFrame:
        """Return a frame on an index of UTC candle times; payloads are dicts."""
        pd, columns = library("pandas"), self._columns()
        index = pandas_index(pd, columns["candle_time"])
        frame: pandas.DataFrame = pd.DataFrame(columns, index=index)
        frame = frame.astype({"id": "int64", "candle_time": "int64"})
        frame.attrs.update(_attributes(self))
        return frame

    def to_polars(self) -> polars.DataFrame:
        """Return a frame with a column `time` besides; payloads are JSON, as kinds differ."""
        pl, columns = library("polars"), self._texts()
        numbers = {name: pl.Series(columns.pop(name), dtype=pl.Int64) for name in NAMES[:2]}
        texts = {name: pl.Series(values, dtype=pl.String) for name, values in columns.items()}
        times = polars_times(pl, [each.candle_time for each in self.events])
        frame: polars.DataFrame = pl.DataFrame({"time": times, **numbers, **texts})
        return frame

    def to_arrow(self) -> pyarrow.Table:
        """Return a table with the same columns as the frame of polars."""
        pa, columns = library("pyarrow"), self._texts()
        numbers = {name: pa.array(columns.pop(name), pa.int64()) for name in NAMES[:2]}
        texts = {name: pa.array(values, pa.string()) for name, values in columns.items()}
        times = arrow_times(pa, [each.candle_time for each in self.events])
        return pa.table({"time": times, **numbers, **texts})


@dataclass(frozen=True, slots=True)
class Features:
    """Feature columns of one series: a value a candle, None where there is none."""

    series_id: str
    generation: str
    epoch: int
    head_time: int | None
    candle_time: Sequence[int] = field(repr=False)
    columns: Mapping[str, Sequence[Any]] = field(repr=False)

    def __len__(self) -> int:
        return len(self.candle_time)

    def rows(self) -> list[dict[str, Any]]:
        """Return a dict a candle."""
        names = ("candle_time", *self.columns)
        values = zip(self.candle_time, *self.columns.values(), strict=True)
        return [dict(zip(names, row, strict=True)) for row in values]

    def to_pandas(self) -> pandas.DataFrame:
        """Return a frame on an index of UTC candle times; missing values are NaN or None."""
        pd = library("pandas")
        columns = {"candle_time": list(self.candle_time), **self.columns}
        index = pandas_index(pd, self.candle_time)
        frame: pandas.DataFrame = pd.DataFrame(columns, index=index)
        frame.attrs.update(_attributes(self))
        return frame

    def to_polars(self) -> polars.DataFrame:
        """Return a frame with a column `time` besides."""
        pl, times = library("polars"), list(self.candle_time)
        # The type of a column is that of all its values, not of the first ones.
        columns = {
            name: pl.Series(name, list(values), strict=False)
            for name, values in self.columns.items()
        }
        head = {"time": polars_times(pl, times), "candle_time": pl.Series(times, dtype=pl.Int64)}
        frame: polars.DataFrame = pl.DataFrame(head | columns)
        return frame

    def to_arrow(self) -> pyarrow.Table:
        """Return a table with the same columns."""
        pa, times = library("pyarrow"), list(self.candle_time)
        head = {"time": arrow_times(pa, times), "candle_time": pa.array(times, pa.int64())}
        return pa.table(head | {name: pa.array(each) for name, each in self.columns.items()})


def _attributes(read: Events | Features) -> dict[str, Any]:
    return {"series_id": read.series_id, "generation": read.generation, "epoch": read.epoch}
