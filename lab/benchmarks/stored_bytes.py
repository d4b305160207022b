"""What the store takes: bytes a candle, with factors and drawings, by table and by index.

`python -m lab.benchmarks.stored_bytes [CSV [CANDLES [LIVE [SERIES]]]]` measures the benchmarks'
random walk, or the candles of a recorded file. They come in pages of 1,000, and the last LIVE of
them (half, if not given) one by one, as live candles do, of SERIES series in turn (1, if not
given): with several, what is fixed for a table counts less. Sizes are taken after VACUUM; they
include what tables and indexes hold free. With TRADE_CANVAS_ENABLE_DENSE_LEDGER=1 rows are dense.

With TEST_DATABASE_URL, the address of a server with TimescaleDB, candles are in a hypertable, in a
database that is made there and dropped. It is then measured compressed as well, with the candles of
as many series as share its chunks; factors and drawings are in plain tables there, too.
"""

from __future__ import annotations

import csv
import gzip
import itertools
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from django.db import connection

from lab.benchmarks.harness import print_machine
from lab.benchmarks.samples import new_series, walk
from lab.benchmarks.stack import stack
from lab.database import create_database, drop_database
from market.domain.candle import Candle
from market.pipeline import Pipeline, load_stages
from market.runtime import candle_store
from market.stores import postgres_timescale as timescale
from market.stores.postgres_timescale import Hypertable, HypertablePlan

CANDLES = 10_000
PAGE = 1_000
SERIES = 20
DAY = 86_400

TABLES = """
SELECT relname, pg_relation_size(oid),
    pg_table_size(oid) - pg_relation_size(oid), pg_total_relation_size(oid)
FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace
    AND relname ~ '^(candles|factor_|overlay_)' ORDER BY relname
"""
INDEXES = """
SELECT indexrelname, pg_relation_size(indexrelid) FROM pg_stat_user_indexes
WHERE relname = %s ORDER BY indexrelname
"""

COPIES = """
INSERT INTO candles (series_id, candle_time, open, high, low, close, volume)
SELECT series_id + copy, candle_time, open, high, low, close, volume
FROM candles, generate_series(1, %s) AS copy
"""
COMPRESS = "SELECT compress_chunk(chunk) FROM show_chunks('candles') AS chunk"
VERSION = "SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'"


def recorded(path: str) -> Iterator[Candle]:
    """The candles of a recorded file."""
    with gzip.open(Path(path), "rt") as lines:
        for row in csv.DictReader(lines):
            time, *rest = row.values()
            yield Candle(int(time), *map(float, rest))


def main() -> None:
    """Print bytes a candle."""
    print_machine()
    given = recorded(sys.argv[1]) if len(sys.argv) > 1 else walk()
    most = int(sys.argv[2]) if len(sys.argv) > 2 else CANDLES
    candles = list(itertools.islice(given, most))
    with database() as url, stack(ledgers=True, database_url=url):
        try:
            pipeline = Pipeline(candle_store(), load_stages(settings.PIPELINE_STAGES))
            live = int(sys.argv[3]) if len(sys.argv) > 3 else len(candles) // 2
            all_series = [new_series() for _ in range(int((sys.argv[4:5] or ["1"])[0]))]
            bulk = len(candles) - live
            for series in all_series:
                for start in range(0, bulk, PAGE):
                    pipeline.ingest(series, candles[start : min(bulk, start + PAGE)])
            for candle in candles[bulk:]:
                for series in all_series:
                    pipeline.ingest(series, [candle])
            report(len(candles) * len(all_series))
            if url and len(all_series) == 1:
                report_compressed(len(candles))
        finally:
            connection.close()


@contextmanager
def database() -> Iterator[str]:
    """The address of an empty database on a server with TimescaleDB; empty without a server."""
    server = os.environ.get("TEST_DATABASE_URL")
    if not server:
        yield ""
        return
    url = create_database(server, prefix="bytes")
    try:
        yield url
    finally:
        drop_database(url)


def report(candles: int) -> None:
    """Print the sizes of every table of the store, and their sums."""
    ledgers = 0.0
    with connection.cursor() as cursor:
        cursor.execute("VACUUM")
        cursor.execute(TABLES)
        for table, heap, other, total in cursor.fetchall():
            if table == "candles" and timescale.status(connection).hypertable:
                # It has no rows of its own.
                continue
            cursor.execute(f"SELECT count(*) FROM {table}")
            (rows,) = cursor.fetchone()
            print(f"{table:22} {rows / candles:6.2f} rows a candle {total / candles:7.1f} bytes")
            print(f"{'':24}{'rows':30} {heap / candles:7.1f}")
            print(f"{'':24}{'long values, maps':30} {other / candles:7.1f}")
            cursor.execute(INDEXES, (table,))
            for index, size in cursor.fetchall():
                print(f"{'':24}{index:30} {size / candles:7.1f}")
            if table != "candles":
                ledgers += total / candles
    print(f"factors and drawings: {ledgers:.1f} bytes a candle")


def report_compressed(candles: int) -> None:
    """Print what candles take in a hypertable, of one series and of several, and compressed."""
    with connection.cursor() as cursor:
        cursor.execute(VERSION)
        print(f"TimescaleDB {cursor.fetchone()[0]}, {_hypertable().chunks} chunks")
        print(f"candles of one series: {_hypertable().size_bytes / candles:.1f} bytes a candle")
        cursor.execute(COPIES, [SERIES - 1])
        cursor.execute("VACUUM")
        size = _hypertable().size_bytes / candles / SERIES
        print(f"candles of {SERIES} such series: {size:.1f} bytes a candle")
        chunk = _hypertable().chunk_s
        timescale.enable(connection, HypertablePlan(chunk_s=chunk, compress_after_s=30 * DAY))
        cursor.execute(COMPRESS)
        cursor.execute("VACUUM")
        size = _hypertable().size_bytes / candles / SERIES
        print(f"the same, compressed: {size:.1f} bytes a candle")


def _hypertable() -> Hypertable:
    found = timescale.status(connection).hypertable
    assert found is not None
    return found


if __name__ == "__main__":
    main()
