"""The columns of a candle in our own files, in every format: names, order and types.

`candle_time` is the open time in Unix seconds (int64); prices and volume are doubles.
"""

from __future__ import annotations

from typing import Any

from market.candle_files.arrow import pyarrow
from market.domain.candle import Candle

COLUMNS = Candle._fields
TIME_COLUMN, *VALUE_COLUMNS = COLUMNS
CSV_HEADER = ",".join(COLUMNS)

SERIES_COLUMN = "series_id"
"""The first column of a file with several series."""

SERIES_KEY = b"trade_canvas.series_id"
"""Metadata of a Parquet, Arrow or Feather file with one series: its id."""


def arrow_schema() -> Any:
    """The schema of candles in Arrow and Parquet files; raises ArrowMissing."""
    arrow = pyarrow()
    values = [arrow.field(name, arrow.float64(), nullable=False) for name in VALUE_COLUMNS]
    return arrow.schema([arrow.field(TIME_COLUMN, arrow.int64(), nullable=False), *values])
