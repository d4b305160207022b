"""Bulk history through the pipeline, against COPY into a temporary table and an upsert from it.

First candles that are in memory: both write the same ones into series of their own, as new rows and
as repeats. Then a file of 1,000,000 lines: `import_candles`, which reads and checks it, against
COPY of the same file and one upsert, with nothing around them. Last the memory that the command
takes in a process of its own.
"""

from __future__ import annotations

import io
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TextIO
from unittest.mock import patch

import psycopg2
from django.core.management import call_command

from lab.benchmarks.harness import Comparison, Target, interleave, print_machine
from lab.benchmarks.samples import minutes, new_series
from lab.benchmarks.stack import stack
from lab.program import manage
from market.candle_files import fast_blocks
from market.candle_files.columns import CSV_HEADER
from market.runtime import pipeline

CANDLES = minutes(50_000)
FILE_ROWS = 1_000_000
COLUMNS = "candle_time, open, high, low, close, volume"
AT_LEAST = Target(0.8, at_least=True)
MAX_MB = 300

UPSERT = (
    f"INSERT INTO candles (series_id, {COLUMNS}) SELECT %s, {COLUMNS} FROM bare"
    " ON CONFLICT (series_id, candle_time) DO UPDATE SET open = excluded.open,"
    " high = excluded.high, low = excluded.low, close = excluded.close,"
    " volume = excluded.volume"
)


class Ours:
    """Imports through the pipeline."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def new_rows(self) -> float:
        """Return rows a second into an empty series."""
        self._series = new_series()
        return self.repeats()

    def repeats(self) -> float:
        """Return rows a second into the series written last."""
        start = time.perf_counter()
        pipeline().ingest(self._series, CANDLES)
        return len(CANDLES) / (time.perf_counter() - start)

    def file(self) -> float:
        """Return rows a second of a file into an empty series."""
        start = time.perf_counter()
        call_command(
            "import_candles",
            str(self._path),
            str(new_series()),
            "--no-progress",
            stdout=io.StringIO(),
        )
        return FILE_ROWS / (time.perf_counter() - start)

    def file_without_pyarrow(self) -> float:
        """Return the same, as if pyarrow were not installed."""
        with patch.object(fast_blocks, "has_arrow", return_value=False):
            return self.file()


class Limit:
    """COPY and one upsert on a connection of its own."""

    def __init__(self, url: str, path: Path) -> None:
        self._connection = psycopg2.connect(url)
        self._path = path
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
        self._upsert(io.StringIO(text), "")
        return len(CANDLES) / (time.perf_counter() - start)

    def file(self) -> float:
        """Return rows a second of the file under a key not used before."""
        self._key += 1
        start = time.perf_counter()
        with self._path.open() as lines:
            self._upsert(lines, "WITH (FORMAT csv, HEADER)")
        return FILE_ROWS / (time.perf_counter() - start)

    def _upsert(self, rows: TextIO, options: str) -> None:
        with self._connection, self._connection.cursor() as cursor:
            cursor.execute("CREATE TEMPORARY TABLE IF NOT EXISTS bare (LIKE candles)")
            cursor.execute("TRUNCATE bare; ALTER TABLE bare ALTER series_id DROP NOT NULL")
            cursor.copy_expert(f"COPY bare ({COLUMNS}) FROM STDIN {options}", rows)
            cursor.execute(UPSERT, (self._key,))


@contextmanager
def large_file() -> Iterator[Path]:
    """A CSV file of FILE_ROWS lines."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "candles.csv"
        with path.open("w") as file:
            file.write(f"{CSV_HEADER}\n")
            for start in range(0, FILE_ROWS, len(CANDLES)):
                file.writelines(
                    "%d,%r,%r,%r,%r,%r\n" % (time + 60 * start, *values)  # noqa: UP031
                    for time, *values in CANDLES
                )
        yield path


def memory_mb(path: Path) -> float:
    """Import the file in a process of its own; return the most memory that it took."""
    subprocess.run(
        manage("import_candles", str(path), str(new_series()), "--no-progress"),
        check=True,
        stdout=sys.stderr,
    )
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def main() -> None:
    """Print the comparisons."""
    print_machine()
    with (
        stack() as installation,
        large_file() as path,
        closing(Limit(installation.database_url, path)) as limit,
    ):
        ours = Ours(path)
        rows = f"import of a file of {FILE_ROWS:,} rows"
        for title, a, b, target in (
            ("bulk import, new rows", ours.new_rows, limit.new_rows, AT_LEAST),
            ("bulk import, repeats", ours.repeats, limit.repeats, AT_LEAST),
            (rows, ours.file, limit.file, AT_LEAST),
            (f"{rows} without pyarrow", ours.file_without_pyarrow, limit.file, None),
        ):
            print(Comparison(title, "rows/s", *interleave(a, b), target), flush=True)
        used = memory_mb(path)
        verdict = "met" if used < MAX_MB else "MISSED"
        print(f"memory of an import of a file: {used:.0f} MB  target < {MAX_MB}: {verdict}")


if __name__ == "__main__":
    main()
