"""Files with candles out of the store, against COPY of the same rows to a CSV file.

`export_candles` writes each format, and the route sends CSV and Parquet; then the memory that the
command takes in a process of its own for a tenth of the candles and for all of them.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from urllib.parse import urlencode

import psycopg2
from django.core.management import call_command

from lab.benchmarks.harness import Comparison, interleave, print_machine
from lab.benchmarks.samples import FIRST, minutes, new_series
from lab.benchmarks.stack import stack, web
from lab.program import manage
from market.candle_files.writers import Kind
from market.domain.series import SeriesId
from market.runtime import pipeline

CHUNK = 50_000
CANDLES = 1_000_000
MEASURED = 200_000
ROUNDS = 3
LAST = FIRST + 60 * (MEASURED - 1)
TIMEOUT_S = 600.0
COLUMNS = "candle_time, open, high, low, close, volume"
PEAK = (
    "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True);"
    " print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)"
)


def stored() -> SeriesId:
    """Return a series with CANDLES candles."""
    series, first = new_series(), minutes(CHUNK)
    for start in range(0, CANDLES, CHUNK):
        later = 60 * start
        chunk = [each._replace(candle_time=each.candle_time + later) for each in first]
        pipeline().ingest(series, chunk)
    return series


def command(series: SeriesId, path: Path, kind: Kind) -> float:
    """Return rows a second that the command writes."""
    start = time.perf_counter()
    options = {"output": path, "format": kind.value, "end": LAST}
    call_command("export_candles", str(series), stderr=io.StringIO(), **options)
    return MEASURED / (time.perf_counter() - start)


def route(series: SeriesId, url: str, kind: Kind) -> float:
    """Return rows a second that the route sends."""
    start = time.perf_counter()
    query = urlencode({"series_id": str(series), "to": LAST})
    with urllib.request.urlopen(
        f"{url}/api/market/candles.{kind}?{query}", timeout=TIMEOUT_S
    ) as answer:
        while answer.read(1 << 16):
            pass
    return MEASURED / (time.perf_counter() - start)


def copied(connection: psycopg2.extensions.connection, series: SeriesId, path: Path) -> float:
    """Return rows a second of a bare COPY into a file."""
    start = time.perf_counter()
    with connection, connection.cursor() as cursor, path.open("w") as file:
        cursor.copy_expert(
            f"COPY (SELECT {COLUMNS} FROM candles WHERE series_id ="
            f" (SELECT id FROM series WHERE name = '{series}') AND candle_time <= {LAST}"
            " ORDER BY candle_time) TO STDOUT WITH (FORMAT csv, HEADER)",
            file,
        )
    return MEASURED / (time.perf_counter() - start)


def memory_mb(series: SeriesId, path: Path, kind: Kind, candles: int) -> float:
    """Export so many candles in a process of its own; return the most memory that it took."""
    end = str(FIRST + 60 * (candles - 1))
    line = manage("export_candles", str(series), "--output", str(path), "--to", end)
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *line, "--format", kind.value],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return float(done.stdout)


def main() -> None:
    """Print the comparisons."""
    print_machine()
    with stack() as installation, tempfile.TemporaryDirectory() as folder:
        series, path = stored(), Path(folder) / "candles"
        with (
            closing(psycopg2.connect(installation.database_url)) as connection,
            web(installation, TRADE_CANVAS_ENABLE_CANDLE_EXPORT="1") as server,
        ):
            limit = partial(copied, connection, series, path)
            ours: dict[str, Callable[[], float]] = {
                f"export_candles, {kind}": partial(command, series, path, kind) for kind in Kind
            }
            for kind in (Kind.CSV, Kind.PARQUET):
                ours[f"GET candles.{kind}"] = partial(route, series, server.url, kind)
            for title, each in ours.items():
                both = interleave(each, limit, rounds=ROUNDS)
                print(Comparison(title, "rows/s", *both), flush=True)
        for kind in (Kind.CSV, Kind.PARQUET):
            for count in (CANDLES // 10, CANDLES):
                peak = memory_mb(series, path, kind, count)
                print(f"memory, {kind}, {count:,} candles: {peak:.0f} MB", flush=True)


if __name__ == "__main__":
    main()
