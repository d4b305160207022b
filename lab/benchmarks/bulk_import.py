"""Bulk history through the pipeline, against COPY into a temporary table and an upsert from it.

Both write the same candles into series of their own; first as new rows, then as repeats. The limit
builds the same COPY text and runs two statements, with nothing around them.
"""

from __future__ import annotations

import io
import time
from contextlib import closing

import psycopg2

from lab.benchmarks.harness import Comparison, Target, interleave, print_machine
from lab.benchmarks.samples import minutes, new_series
from lab.benchmarks.stack import stack
from market.runtime import pipeline

CANDLES = minutes(50_000)
COLUMNS = "candle_time, open, high, low, close, volume"
AT_LEAST = Target(0.8, at_least=True)


class Ours:
    """Imports through the pipeline."""

    def new_rows(self) -> float:
        """Return rows a second into an empty series."""
        self._series = new_series()
        return self.repeats()

    def repeats(self) -> float:
        """Return rows a second into the series written last."""
        start = time.perf_counter()
        pipeline().ingest(self._series, CANDLES)
        return len(CANDLES) / (time.perf_counter() - start)


class Limit:
    """COPY and one upsert on a connection of its own."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg2.connect(url)
        self._key = 1_000_000

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def new_rows(self) -> float:
        """Return rows a second under a key not used before."""
        self._key += 1
        return self.repeats()

    def repeats(self) -> float:
        """Return rows a second under the key written last."""
        start = time.perf_counter()
        text = "\n".join(["%d\t%r\t%r\t%r\t%r\t%r" % candle for candle in CANDLES])  # noqa: UP031
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
        return len(CANDLES) / (time.perf_counter() - start)


def main() -> None:
    """Print the comparisons."""
    print_machine()
    with stack() as installation, closing(Limit(installation.database_url)) as limit:
        ours = Ours()
        for title, a, b in (
            ("bulk import, new rows", ours.new_rows, limit.new_rows),
            ("bulk import, repeats", ours.repeats, limit.repeats),
        ):
            print(Comparison(title, "rows/s", *interleave(a, b), AT_LEAST), flush=True)


if __name__ == "__main__":
    main()
