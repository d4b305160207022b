"""What the store takes: bytes a candle, with factors and drawings, by table and by index.

`python -m lab.benchmarks.stored_bytes [CSV [CANDLES]]` measures the benchmarks' random walk, or the
candles of a recorded file. Half of them come in pages of 1,000, and then half one by one, as live
candles do. Sizes are taken after VACUUM; they include what tables and indexes hold free. With
TRADE_CANVAS_ENABLE_DENSE_LEDGER=1 rows are dense.
"""

from __future__ import annotations

import csv
import gzip
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.db import connection

from lab.benchmarks.harness import print_machine
from lab.benchmarks.samples import new_series, walk
from lab.benchmarks.stack import stack
from market.domain.candle import Candle
from market.pipeline import Pipeline, load_stages
from market.runtime import candle_store

CANDLES = 10_000
PAGE = 1_000

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
    with stack(ledgers=True):
        pipeline = Pipeline(candle_store(), load_stages(settings.PIPELINE_STAGES))
        series, half = new_series(), len(candles) // 2
        for start in range(0, half, PAGE):
            pipeline.ingest(series, candles[start : min(half, start + PAGE)])
        for candle in candles[half:]:
            pipeline.ingest(series, [candle])
        report(len(candles))


def report(candles: int) -> None:
    """Print the sizes of every table of the store, and their sums."""
    ledgers = 0.0
    with connection.cursor() as cursor:
        cursor.execute("VACUUM")
        cursor.execute(TABLES)
        for table, heap, other, total in cursor.fetchall():
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


if __name__ == "__main__":
    main()
