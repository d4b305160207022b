"""What every row of `candles` must hold: the table's CHECK constraint, and the rows that break it.

Candles are checked where they enter (`market.domain.candle.check_candle`). This is about rows that
came another way: by SQL, from a restored file, from a version with a fault.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Any, NamedTuple

from django.db import NotSupportedError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from market.domain.candle import Candle, CandleError, check_candle
from market.domain.series import SeriesId
from market.domain.timeframe import MAX_TIME
from market.stores import postgres_timescale as timescale
from market.stores.postgres import MIN_TIME
from market.stores.postgres_writer import COLUMNS, UNLIMITED, PostgresWriter

NAME = "candles_possible"

# NaN equals itself and is greater than Infinity in PostgreSQL, so the two bounds find it as well.
# One constraint for all, because every chunk of a hypertable has a copy of each.
POSSIBLE = f"""
candle_time >= 0 AND candle_time <= {MAX_TIME} AND volume >= 0 AND volume < 'Infinity'
AND low > '-Infinity' AND low <= open AND low <= close
AND open <= high AND close <= high AND high < 'Infinity'
"""

STATE = """
SELECT convalidated FROM pg_constraint WHERE conrelid = 'candles'::regclass AND conname = %s
"""
COUNT = f"SELECT count(*) FROM candles WHERE NOT ({POSSIBLE})"
EXAMPLES = f"""
SELECT coalesce(name, 'series ' || series_id), {COLUMNS}
FROM candles LEFT JOIN series ON series.id = series_id
WHERE NOT ({POSSIBLE}) ORDER BY 1, 2 LIMIT 3
"""
WRONG = f"""
SELECT {COLUMNS} FROM candles
WHERE series_id = (SELECT id FROM series WHERE name = %s)
    AND candle_time > %s AND (NOT ({POSSIBLE}) OR (candle_time - %s) %% %s <> 0)
ORDER BY candle_time LIMIT %s
"""
# Whether rows are on the grid of a calendar the database does not know.
EVERY = f"""
SELECT {COLUMNS} FROM candles
WHERE series_id = (SELECT id FROM series WHERE name = %s) AND candle_time > %s
ORDER BY candle_time LIMIT %s
"""
# A series that was posted may be off the grid throughout.
PAGE = 10_000

OFF_GRID = "off the grid"


class ConstraintState(StrEnum):
    """How far the database itself refuses impossible candles."""

    VALID = "valid"
    NOT_VALIDATED = "not validated"
    MISSING = "missing"


class ImpossibleCandles(Exception):
    """Stored rows break the constraint, so it was not added; nothing was changed."""


class WrongRow(NamedTuple):
    """A stored row that is impossible or off the grid, and what is wrong with it."""

    candle: Candle
    fault: str

    @property
    def is_impossible(self) -> bool:
        """Whether no candle can be like this; otherwise it is only off the grid."""
        return self.fault != OFF_GRID


def constraint_state(connection: BaseDatabaseWrapper) -> ConstraintState:
    """Whether the table has its constraint."""
    with connection.cursor() as cursor:
        cursor.execute(STATE, [NAME])
        row = cursor.fetchone()
    if row is None:
        return ConstraintState.MISSING
    return ConstraintState.VALID if row[0] else ConstraintState.NOT_VALIDATED


def add_constraint(connection: BaseDatabaseWrapper) -> bool:
    """Let the database refuse impossible candles; readers and writers are locked for a moment only.

    False on a TimescaleDB before 2.20 whose hypertable is compressible: it takes no constraint.
    Raises ImpossibleCandles, with the table unchanged, when there are rows that break it.
    """
    _refuse_impossible(connection)
    add = f"ALTER TABLE candles ADD CONSTRAINT {NAME} CHECK ({POSSIBLE})"
    state, hypertable = constraint_state(connection), timescale.status(connection).hypertable
    if hypertable is not None and hypertable.is_compressible:
        # It can't validate later, and checks compressed chunks at once whatever is asked for.
        drop = f"ALTER TABLE candles DROP CONSTRAINT IF EXISTS {NAME}"
        try:
            if state is not ConstraintState.VALID:
                _run(connection, f"{drop}; {add}")
        except NotSupportedError:
            return False
        return True
    if state is ConstraintState.MISSING:
        _run(connection, f"{add} NOT VALID")
    # A transaction of its own: reading the whole table must not hold the lock of the first.
    _run(connection, f"ALTER TABLE candles VALIDATE CONSTRAINT {NAME}")
    return True


def drop_constraint(connection: BaseDatabaseWrapper) -> None:
    """Let the database accept every row again."""
    _run(connection, f"ALTER TABLE candles DROP CONSTRAINT IF EXISTS {NAME}")


def wrong_rows(connection: BaseDatabaseWrapper, series: SeriesId) -> Iterator[WrongRow]:
    """The rows of a series that are impossible or off its timeframe's grid, ascending by time."""
    timeframe, after = series.timeframe, MIN_TIME
    while True:
        with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 0")
            if timeframe.calendar is None:
                cursor.execute(
                    WRONG, [str(series), after, timeframe.offset, timeframe.seconds, PAGE]
                )
            else:
                cursor.execute(EVERY, [str(series), after, PAGE])
            page = [_as_wrong(Candle._make(row)) for row in cursor]
        for row in page:
            if row.is_impossible or not timeframe.is_aligned(row.candle.candle_time):
                yield row
        if len(page) < PAGE:
            return
        after = page[-1].candle.candle_time


def remove(writer: PostgresWriter, candles: list[Candle]) -> None:
    """Delete rows of a locked series, and record a revision from the first of them on.

    The ledgers are behind until they are rebuilt.
    """
    times = [candle.candle_time for candle in candles]
    cursor = writer.cursor
    # The bounds keep TimescaleDB from decompressing what lies outside of them.
    cursor.execute(
        f"{UNLIMITED}; DELETE FROM candles WHERE series_id = %s AND candle_time = ANY(%s)"
        " AND candle_time BETWEEN %s AND %s",
        (writer.key, times, min(times), max(times)),
    )
    cursor.execute("SELECT max(candle_time) FROM candles WHERE series_id = %s", (writer.key,))
    (head,) = cursor.fetchone()
    writer.advance(head, revised_from=max(0, min(times)))


def _as_wrong(candle: Candle) -> WrongRow:
    try:
        check_candle(candle)
    except CandleError as error:
        return WrongRow(candle, str(error))
    return WrongRow(candle, OFF_GRID)


def _refuse_impossible(connection: BaseDatabaseWrapper) -> None:
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute(COUNT)
        (count,) = cursor.fetchone()
        cursor.execute(EXAMPLES)
        examples: list[tuple[Any, ...]] = cursor.fetchall() if count else []
    if count:
        raise ImpossibleCandles(
            f"{count:,} stored candles are impossible, for example "
            + "; ".join(
                f"{name} at {time} ({_as_wrong(Candle(time, *values)).fault})"
                for name, time, *values in examples
            )
            + ". `manage.py verify --candles` lists all of them, and with `--quarantine FILE` moves"
            " them out of the table; then migrate again"
        )


def _run(connection: BaseDatabaseWrapper, statement: str) -> None:
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute(statement)
