"""pandas and polars frames, without requiring either: both are only imported when asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, Literal

Library = Literal["pandas", "polars"]
Columns = Mapping[str, Sequence[Any]]


def frame_of(columns: Columns, library: Library = "pandas") -> Any:
    """Columns as a frame of a library, which must be installed (ImportError)."""
    return import_module(library).DataFrame(dict(columns))


def first_rows(frame: Any, count: int) -> Any:
    """A frame of the first rows alone: nothing of the rows behind them can be reached from it."""
    return frame.iloc[:count].copy() if hasattr(frame, "iloc") else frame.head(count).clone()


def columns_of(output: Any, given: Any) -> dict[str, list[Any]]:
    """A result as columns with a value for each row of the frame `given`; None where it has none.

    A result is a frame, a series or a sequence. A pandas result with other rows than `given` is
    laid on its index. Raises ValueError for one that has no place for each of its rows.
    """
    if hasattr(output, "iloc"):
        return _pandas_columns(output, given)
    if hasattr(output, "columns"):
        found = {name: output[name].to_list() for name in output.columns}
    else:
        found = {"value": output.to_list() if hasattr(output, "to_list") else list(output)}
    for name, values in found.items():
        if len(values) != len(given):
            raise ValueError(f"{name} has {len(values)} rows for {len(given)} candles")
    return {name: list(map(_known, values)) for name, values in found.items()}


def _pandas_columns(output: Any, given: Any) -> dict[str, list[Any]]:
    frame = output.to_frame("value") if hasattr(output, "to_frame") else output
    if len(frame) != len(given):
        if not hasattr(given, "index") or not frame.index.is_unique:
            raise ValueError(f"the result has {len(frame)} rows for {len(given)} candles")
        frame = frame.reindex(given.index)
    found: dict[str, list[Any]] = {}
    for place, name in enumerate(map(str, frame.columns)):
        column = frame.iloc[:, place]
        pairs = zip(column.to_list(), column.isna().to_list(), strict=True)
        key = name if name not in found else f"{name} ({place})"
        found[key] = [None if is_missing else value for value, is_missing in pairs]
    return found


def _known(value: Any) -> Any:
    """A value, or None for one that is not a number."""
    return None if isinstance(value, float) and value != value else value
