"""Bulk history through the pipeline, against COPY into a temporary table and an upsert from it.

Both write the same candles into a series of their own; first as new rows, then as repeats. The
limit builds the same COPY text and runs two statements, with nothing around them.
"""

from __future__ import annotations

import io
import itertools
import os
import time
from functools import partial

import psycopg2

from lab.benchmarks.harness import Comparison, Target, interleave, print_machine
from lab.benchmarks.stack import stack
from market.domain.candle import Candle
from market.domain.series import SeriesId
from market.runtime import pipeline

ROWS = 50_000
COLUMNS = "candle_time, open, high, low, close, volume"
NUMBERS = itertools.count()


def rows() -> list[Candle]:
    """A month of minutes."""
    return [
        Candle(
            1_600_000_020 + 60 * i, 64210.5 + i % 97, 64400.25 + i % 97, 64100.75, 64300.5, i / 7
        )
        for i in range(ROWS)
    ]


class Ours:
    """Imports through the pipeline."""

    def __init__(self) -> None:
        self._series = SeriesId.parse("a:b:c:1m")

    def new_rows(self, candles: list[Candle]) -> float:
        """Rows a second into an empty series."""
        self._series = SeriesId.parse(f"binance:spot:X{next(NUMBERS)}/USDT:1m")
        return self.repeats(candles)

    def repeats(self, candles: list[Candle]) -> float:
        """Rows a second into the series written last."""
        start = time.perf_counter()
        pipeline().ingest(self._series, candles)
        return len(candles) / (time.perf_counter() - start)


class Limit:
    """COPY and one upsert on a connection of its own."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg2.connect(url)
        self._key = 1_000_000

    def new_rows(self, candles: list[Candle]) -> float:
        """Rows a second under a key not used before."""
        self._key += 1
        return self.repeats(candles)

    def repeats(self, candles: list[Candle]) -> float:
        """Rows a second under the key written last."""
        start = time.perf_counter()
        text = "\n".join(["%d\t%r\t%r\t%r\t%r\t%r" % candle for candle in candles])  # noqa: UP031
        with self._connection, self._connection.cursor() as cursor:
            cursor.execute("CREATE TEMPORARY TABLE IF NOT EXISTS bare (LIKE candles)")
            cursor.execute("TRUNCATE bare; ALTER TABLE bare ALTER series_id DROP NOT NULL")
            cursor.copy_expert(f"COPY bare ({COLUMNS}) FROM STDIN", io.StringIO(text))
            cursor.execute(
                f"INSERT INTO candles (series_id, {COLUMNS}) SELECT %s, {COLUMNS} FROM bare"
                " ON CONFLICT (series_id, candle_time) DO UPDATE SET open = excluded.open,"
                " high = excluded.high, low = excluded.low, close = excluded.close,"
                " volume = excluded.volume",
                (self._key,),
            )
        return len(candles) / (time.perf_counter() - start)


def main() -> None:
    """Print the comparisons."""
    print_machine()
    with stack():
        ours, limit, candles = Ours(), Limit(os.environ["DATABASE_URL"]), rows()
        for title, a, b in (
            ("bulk import, new rows", ours.new_rows, limit.new_rows),
            ("bulk import, repeats", ours.repeats, limit.repeats),
        ):
            figures = interleave(partial(a, candles), partial(b, candles))
            target = Target(0.8, at_least=True)
            print(Comparison(title, "rows/s", *figures, target), flush=True)


if __name__ == "__main__":
    main()
