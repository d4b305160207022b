"""What tests of hypertables share; they run where the tests' server has TimescaleDB."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from django.db import connection

from market.stores import postgres_timescale as timescale
from market.stores.postgres_timescale import Hypertable, HypertablePlan

DAY = 86_400
PLAN = HypertablePlan(chunk_s=7 * DAY)

needs_timescale = pytest.mark.skipif(
    os.environ.get("TRADE_CANVAS_ENABLE_TIMESCALE") != "1",
    reason="the tests' server has no TimescaleDB (make test-timescale)",
)


def sql(statement: str, *values: object) -> list[Any]:
    """Run a statement; return its rows."""
    with connection.cursor() as cursor:
        cursor.execute(statement, values or None)
        return cursor.fetchall() if cursor.description else []


def hypertable() -> Hypertable | None:
    """The hypertable as it is."""
    return timescale.status(connection).hypertable


@contextmanager
def restored() -> Iterator[None]:
    """Leave the session's hypertable as migrations made it: not compressible, without policies."""
    try:
        yield
    finally:
        sql("TRUNCATE candles")
        table = hypertable()
        if table is not None and table.is_compressible:
            timescale.disable(connection)
        timescale.enable(connection, PLAN)


def compress_all() -> None:
    """Compress every chunk, also those that were compressed and have new rows since."""
    timescale.enable(connection, replace(PLAN, compress_after_s=30 * DAY))
    sql("SELECT compress_chunk(chunk, if_not_compressed => true) FROM show_chunks('candles') chunk")
    table = hypertable()
    assert table is not None and table.compressed_chunks == table.chunks > 0


@contextmanager
def decompression_limit(rows: int) -> Iterator[None]:
    """Let TimescaleDB refuse statements that decompress more rows."""
    sql(f"SET timescaledb.max_tuples_decompressed_per_dml_transaction = {rows}")
    try:
        yield
    finally:
        sql("RESET timescaledb.max_tuples_decompressed_per_dml_transaction")
