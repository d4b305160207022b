"""The optional libraries, imported when a frame of theirs is asked for."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from importlib import import_module
from typing import Any

EXTRAS = {"pyarrow": "arrow", "numpy": "pandas"}


def library(name: str) -> Any:
    """Import a library. Raises ImportError with how to install it."""
    try:
        return import_module(name)
    except ImportError as error:
        extra = EXTRAS.get(name, name)
        hint = f"pip install 'trade-canvas-client[{extra}]'"
        raise ImportError(f"{name} is needed for this form of frame: {hint}") from error


def pandas_index(pd: Any, times: Sequence[int]) -> Any:
    """Return UTC times in nanoseconds, which every pandas has and every other frame joins."""
    seconds = library("numpy").array(array("q", times), dtype="int64")
    index = pd.to_datetime(seconds, unit="s", utc=True)
    return index.as_unit("ns").rename("time")


def polars_times(pl: Any, times: list[int]) -> Any:
    """Return UTC times in microseconds."""
    series = pl.Series([1_000_000 * each for each in times], dtype=pl.Int64)
    return series.cast(pl.Datetime("us", "UTC"))


def arrow_times(pa: Any, times: list[int]) -> Any:
    """Return UTC times in microseconds."""
    return pa.array([1_000_000 * each for each in times], pa.timestamp("us", "UTC"))
