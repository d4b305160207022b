"""Moves rows that should not be among the candles of a series to a file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from factors.rebuild import Rebuilding, StageMissing
from factors.runtime import rebuilder
from market.domain.candle import Candle
from market.domain.series import SeriesId
from market.stores.candle_checks import remove
from market.stores.postgres import PostgresCandleStore

HEADER = "series_id,candle_time,open,high,low,close,volume\n"


def move_out(series: SeriesId, candles: Sequence[Candle], file: Path) -> None:
    """Append rows to a CSV file and delete them from the store, where the series gets a revision.

    The file is on the disk before the rows are gone. Factors and drawings are behind afterwards,
    until `recompute` or the next batch. Raises OSError.
    """
    with PostgresCandleStore().writing(series) as writer:
        with file.open("a", encoding="utf-8", newline="") as out:
            if not out.tell():
                out.write(HEADER)
            out.writelines(f"{series},{','.join(map(repr, each))}\n" for each in candles)
            out.flush()
            os.fsync(out.fileno())
        remove(writer, list(candles))


def recompute(series: SeriesId, from_time: int) -> Iterator[Rebuilding]:
    """Bring factors and drawings up to the candles, part by part. Raises PipelineError."""
    try:
        yield from rebuilder().run(series, from_time)
    except StageMissing:
        # Switched off: there are none to bring up to date.
        return
