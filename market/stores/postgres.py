"""The candle store in PostgreSQL: set-based SQL through psycopg2, COPY for bulk.

Statements go to the driver's own cursor, because this is the hottest path: with DEBUG on Django's
wrapper would keep every statement. The connection and its transactions are Django's.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from math import isfinite
from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, Error, connections, transaction
from typing_extensions import override

from market.domain.candle import Candle
from market.domain.gaps import Gap
from market.domain.series import SeriesId
from market.domain.store import (
    CandleStore,
    Fence,
    SeriesDamaged,
    SeriesState,
    SeriesStats,
)
from market.stores.postgres_errors import refusal_of
from market.stores.postgres_group import PostgresGroup
from market.stores.postgres_known import KnownRows
from market.stores.postgres_series import (
    BRIEFLY,
    NEXT_FENCE,
    STATE,
    STATES,
    lock_series,
    locking,
    raise_fence,
    states_in,
)
from market.stores.postgres_transaction import begun, opened_for_django
from market.stores.postgres_writer import COLUMNS, PostgresWriter

SERIES_KEY = "(SELECT id FROM series WHERE name = %s)"

# What was made stays; if the series is derived again, all of it is made anew.
RELEASE = (
    "UPDATE series SET is_derived = false WHERE name = %s",
    "DELETE FROM incomplete_buckets WHERE name = %s",
    "DELETE FROM derived_series WHERE name = %s",
)

GAPS = f"""
SELECT prev_time, candle_time FROM (
    SELECT candle_time, lag(candle_time) OVER (ORDER BY candle_time) AS prev_time
    FROM candles WHERE series_id = {SERIES_KEY} AND candle_time BETWEEN %s AND %s
) AS neighbours
WHERE candle_time - prev_time > %s ORDER BY candle_time
"""

RANGES = f"""
SELECT position, {COLUMNS}
FROM unnest(%s, %s::bigint[], %s::bigint[]) WITH ORDINALITY AS given (name, first, last, position)
JOIN series USING (name)
CROSS JOIN LATERAL (
    SELECT {COLUMNS} FROM candles
    WHERE series_id = series.id AND candle_time BETWEEN first AND last
        AND candle_time BETWEEN %s AND %s
    ORDER BY candle_time LIMIT %s
) AS found
ORDER BY position, candle_time
"""

MIN_TIME, MAX_TIME = -(2**63), 2**63 - 1

# A statement on a hypertable is planned for every chunk that it might touch, which costs more than
# the read itself. So reads there first ask for a span that nearly always holds enough candles.
SLACK_S = 691_200


class PostgresCandleStore(CandleStore):
    """The store on the tables `series` and `candles`."""

    def __init__(self) -> None:
        self._known = KnownRows()

    @override
    @contextmanager
    def writing(
        self, series: SeriesId, *, fence: Fence | None = None, may_lock_late: bool = False
    ) -> Iterator[PostgresWriter]:
        # Writers of one series wait for each other in the database.
        writer: PostgresWriter | None = None
        known = self._known.take(series)
        try:
            with begun(_cursor) as (cursor, begin, commit):
                # Inside another transaction there is nothing to send together.
                if may_lock_late and begin and known is not None and known.is_trusted(fence):
                    opening = locking(cursor, series, known.row, begin=begin)
                    writer = PostgresWriter(series, known.row, cursor, fence=fence, opening=opening)
                    with opened_for_django(writer.open):
                        yield writer
                else:
                    row = lock_series(cursor, series, begin=begin)
                    if fence is not None and fence != row.fence:
                        raise_fence(cursor, series, row, fence)
                        row = row._replace(fence=fence)
                    writer = PostgresWriter(series, row, cursor, fence=fence)
                    yield writer
                writer.flush(commit)
        except BaseException as error:
            if writer is not None:
                writer.rolled_back()
            if isinstance(error, Error) and (refusal := refusal_of(error)):
                raise refusal from error
            raise
        self._known.put(known, writer)
        writer.committed()

    @override
    @contextmanager
    def writing_group(self, fences: Mapping[SeriesId, Fence | None]) -> Iterator[PostgresGroup]:
        group: PostgresGroup | None = None
        known = {series: self._known.take(series) for series in fences}
        try:
            with begun(_cursor) as (cursor, begin, commit):
                group = PostgresGroup(cursor, fences, begin=begin)
                yield group
                group.flush(commit)
        except BaseException as error:
            for writer in group.writers if group else ():
                writer.rolled_back()
            if isinstance(error, Error) and (refusal := refusal_of(error)):
                raise refusal from error
            raise
        for writer in group.writers:
            self._known.put(known[writer.series], writer)
            writer.committed()

    @override
    def release_derived(self, series: SeriesId) -> None:
        with transaction.atomic(), _cursor() as cursor:
            lock_series(cursor, series)
            for statement in RELEASE:
                cursor.execute(statement, (str(series),))

    @override
    def next_fence(self, series: SeriesId) -> Fence:
        with transaction.atomic(), _cursor() as cursor:
            cursor.execute(BRIEFLY)
            row = lock_series(cursor, series)
            cursor.execute(NEXT_FENCE, (str(series),))
            return Fence(int(cursor.fetchone()[0]), row.state.generation)

    @override
    def generation(self) -> str:
        return str(read_rows("SELECT store_generation()", ())[0][0])

    @override
    def read_after(self, series: SeriesId, after: int, limit: int) -> list[Candle]:
        return _sound(series, self._after(series, after, limit))

    def _after(self, series: SeriesId, after: int, limit: int) -> list[Candle]:
        near = after + _span(series, limit)
        if not settings.SWITCHES.enable_timescale or near > time.time():
            return _oldest(series, after, MAX_TIME, limit)
        rows = _oldest(series, after, near, limit)
        return (
            rows
            if len(rows) == limit
            else rows + _oldest(series, near, MAX_TIME, limit - len(rows))
        )

    @override
    def newest(self, series: SeriesId, limit: int, *, up_to: int | None = None) -> list[Candle]:
        return _sound(series, self._up_to(series, limit, up_to))

    def _up_to(self, series: SeriesId, limit: int, up_to: int | None) -> list[Candle]:
        if settings.SWITCHES.enable_timescale:
            rows = self._newest_nearby(series, limit, up_to)
        else:
            rows = _newest(series, MIN_TIME, MAX_TIME if up_to is None else up_to, limit)
        rows.reverse()
        return rows

    def _newest_nearby(self, series: SeriesId, limit: int, up_to: int | None) -> list[Candle]:
        end = self.state(series).head if up_to is None else up_to
        if end is None:
            return []
        near = end - _span(series, limit)
        rows = _newest(series, near, end, limit)
        return (
            rows
            if len(rows) == limit
            else rows + _newest(series, MIN_TIME, near - 1, limit - len(rows))
        )

    @override
    def read_range(self, series: SeriesId, start: int, end: int, *, limit: int) -> list[Candle]:
        rows = _candles(
            f"SELECT {COLUMNS} FROM candles WHERE series_id = {SERIES_KEY}"
            " AND candle_time BETWEEN %s AND %s ORDER BY candle_time LIMIT %s",
            (str(series), start, end, limit),
        )
        return _sound(series, rows)

    @override
    def read_ranges(
        self, spans: Mapping[SeriesId, tuple[int, int]], *, limit: int
    ) -> dict[SeriesId, list[Candle]]:
        if not spans:
            return {}
        asked, starts, ends = list(spans), *zip(*spans.values(), strict=True)
        names = [str(each) for each in asked]
        # The outer bounds are constants: by them TimescaleDB leaves chunks out of its plan.
        values = (names, list(starts), list(ends), min(starts), max(ends), limit + 1)
        found: dict[SeriesId, list[Candle]] = {each: [] for each in asked}
        for position, *row in read_rows(RANGES, values):
            found[asked[position - 1]].append(Candle._make(row))
        return {
            each: rows
            for each, rows in found.items()
            if len(rows) <= limit and _damaged(rows) is None
        }

    @override
    def state(self, series: SeriesId) -> SeriesState:
        return self.states([series])[series]

    @override
    def states(self, series: Iterable[SeriesId]) -> dict[SeriesId, SeriesState]:
        asked = {str(each): each for each in series}
        rows = read_rows(STATE, tuple(asked)) if len(asked) == 1 else []
        return states_in(rows or read_rows(STATES, (list(asked),)), asked)

    @override
    def revised_since(self, series: SeriesId, epoch: int) -> int | None:
        return _number(
            f"SELECT min(from_time) FROM revisions WHERE series_id = {SERIES_KEY} AND epoch > %s",
            (str(series), epoch),
        )

    @override
    def first(self, series: SeriesId) -> int | None:
        rows = _oldest(series, MIN_TIME, MAX_TIME, 1)
        return rows[0].candle_time if rows else None

    @override
    def kept_from(self, series: SeriesId) -> int:
        rows = read_rows("SELECT kept_from FROM series WHERE name = %s", (str(series),))
        return int(rows[0][0]) if rows else 0

    @override
    def floor(self, series: SeriesId, time: int) -> int | None:
        rows = self._up_to(series, 1, time)
        return rows[0].candle_time if rows else None

    @override
    def count(self, series: SeriesId, start: int | None = None, end: int | None = None) -> int:
        found = _number(
            f"SELECT count(*) FROM candles WHERE series_id = {SERIES_KEY}"
            " AND candle_time BETWEEN %s AND %s",
            (str(series), MIN_TIME if start is None else start, MAX_TIME if end is None else end),
        )
        return found or 0

    @override
    def gaps(self, series: SeriesId, start: int | None = None, end: int | None = None) -> list[Gap]:
        low, high = MIN_TIME if start is None else start, MAX_TIME if end is None else end
        rows = read_rows(GAPS, (str(series), low, high, series.timeframe.seconds))
        return [Gap(*row) for row in rows]

    @override
    def series(self) -> list[SeriesStats]:
        rows = read_rows(
            "SELECT name, min(candle_time), max(candle_time), count(*) FROM candles"
            " JOIN series ON series.id = candles.series_id GROUP BY name",
            (),
        )
        return sorted(SeriesStats(SeriesId.parse(name), *stats) for name, *stats in rows)


def stored_series() -> list[SeriesId]:
    """Every series with candles; unlike `CandleStore.series` it reads none of them."""
    rows = read_rows("SELECT name FROM series WHERE head_time IS NOT NULL", ())
    return sorted(SeriesId.parse(name) for (name,) in rows)


@contextmanager
def _cursor() -> Iterator[Any]:
    """The driver's cursor on this thread's connection; errors are raised as Django's."""
    connection = connections[DEFAULT_DB_ALIAS]
    connection.close_if_health_check_failed()
    connection.ensure_connection()
    with connection.wrap_database_errors:
        assert connection.connection is not None
        with connection.connection.cursor() as cursor:
            yield cursor


def read_rows(statement: str, values: tuple[object, ...] | Mapping[str, object]) -> list[Any]:
    """The rows of a query, inside the thread's open transaction if there is one."""
    with _cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())


def _span(series: SeriesId, limit: int) -> int:
    """Seconds that hold `limit` candles of the series, unless many are missing."""
    return limit * series.timeframe.seconds + SLACK_S


def _oldest(series: SeriesId, after: int, end: int, limit: int) -> list[Candle]:
    return _candles(
        f"SELECT {COLUMNS} FROM candles WHERE series_id = {SERIES_KEY}"
        " AND candle_time > %s AND candle_time <= %s ORDER BY candle_time LIMIT %s",
        (str(series), after, end, limit),
    )


def _newest(series: SeriesId, start: int, end: int, limit: int) -> list[Candle]:
    """Candles in descending order."""
    return _candles(
        f"SELECT {COLUMNS} FROM candles WHERE series_id = {SERIES_KEY}"
        " AND candle_time >= %s AND candle_time <= %s ORDER BY candle_time DESC LIMIT %s",
        (str(series), start, end, limit),
    )


def _sound(series: SeriesId, rows: list[Candle]) -> list[Candle]:
    """The same rows; raises SeriesDamaged for one with NaN or Infinity."""
    damaged = _damaged(rows)
    if damaged is not None:
        raise SeriesDamaged(series, damaged.candle_time)
    return rows


def _damaged(rows: list[Candle]) -> Candle | None:
    """The first row with NaN or Infinity."""
    # A sum shows either in a twentieth of the time that the read takes.
    if isfinite(sum(chain.from_iterable(rows))):
        return None
    return next((row for row in rows if not all(map(isfinite, row))), None)


def _candles(statement: str, values: tuple[object, ...]) -> list[Candle]:
    return [Candle._make(row) for row in read_rows(statement, values)]


def _number(statement: str, values: tuple[object, ...]) -> int | None:
    found: int | None = read_rows(statement, values)[0][0]
    return found
