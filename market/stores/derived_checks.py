"""Compares stored derived candles with a roll-up that the database makes of the base itself.

Where candles are a hypertable, that is a continuous aggregate, made for the check and dropped after
it: other code, other plans. On a plain table it is a query. Neither is part of how candles are
derived.

A continuous aggregate of months, or of days of a zone, needs a column of timestamps, and the time
of candles is a number. So it aggregates parts of equal length that no month or day divides, and a
query adds them up.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import gcd
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from market.domain.derived import Progress
from market.domain.rollup import DerivedTimeframes
from market.domain.series import SeriesId
from market.domain.timeframe import Timeframe

VIEW = "derived_check"

PLAIN = """
SELECT series_id,
       candle_time - (((candle_time - {offset}) % {length}) + {length}) % {length} AS bucket,
       (array_agg(open ORDER BY candle_time))[1] AS open, max(high) AS high, min(low) AS low,
       (array_agg(close ORDER BY candle_time DESC))[1] AS close,
       sum(volume ORDER BY candle_time) AS volume, count(*) AS found
FROM candles WHERE (candle_time - {base_offset}) % {base_length} = 0 {of_series}
GROUP BY series_id, bucket
"""
AGGREGATE = """
CREATE MATERIALIZED VIEW {view}
WITH (timescaledb.continuous, timescaledb.materialized_only = true) AS
SELECT series_id, time_bucket({length}::bigint, candle_time, {offset}::bigint) AS bucket,
       first(open, candle_time) AS open, max(high) AS high, min(low) AS low,
       last(close, candle_time) AS close, sum(volume) AS volume, count(*) AS found
FROM candles WHERE (candle_time - {base_offset}) % {base_length} = 0
GROUP BY series_id, bucket WITH NO DATA
"""
# Of months and days of a zone the bounds are given: only then do both have the same rules of zones.
CALENDAR = """
SELECT series_id, bucket,
       (array_agg(open ORDER BY part))[1] AS open, max(high) AS high, min(low) AS low,
       (array_agg(close ORDER BY part DESC))[1] AS close,
       sum(volume ORDER BY part) AS volume, sum(found) AS found,
       (min(closes) - bucket) / {base_length} AS expected
FROM ({parts}) AS parts
JOIN unnest(%(opens)s::bigint[], %(closes)s::bigint[]) AS bounds (bucket, closes)
    ON part >= bucket AND part < closes
WHERE series_id = (SELECT id FROM series WHERE name = %(base)s)
GROUP BY series_id, bucket
"""
PARTS = """
SELECT series_id, candle_time AS part, open, high, low, close, volume, 1 AS found FROM candles
WHERE candle_time %% {base_length} = 0
"""
AGGREGATED_PARTS = """
SELECT series_id, bucket AS part, open, high, low, close, volume, found FROM {view}
"""
# An aggregate adds volumes in an order of its own; everything else is the same double.
COMPARE = """
WITH rolled AS (
    SELECT bucket AS candle_time, open, high, low, close, volume FROM {source}
    WHERE series_id = (SELECT id FROM series WHERE name = %(base)s)
      AND bucket >= %(since)s
      AND bucket >= (SELECT max(kept_from) FROM series WHERE name IN (%(base)s, %(name)s))
      AND bucket <= %(last)s
      AND (found = {whole} OR %(partial)s)
), stored AS (
    SELECT candle_time, open, high, low, close, volume FROM candles
    WHERE series_id = (SELECT id FROM series WHERE name = %(name)s)
      AND candle_time >= %(since)s AND candle_time <= %(last)s
      AND candle_time >= %(first)s
      AND candle_time >= (SELECT max(kept_from) FROM series WHERE name IN (%(base)s, %(name)s))
)
SELECT count(*), count(*) FILTER (WHERE stored.candle_time IS NULL),
       count(*) FILTER (WHERE rolled.candle_time IS NULL),
       count(*) FILTER (WHERE
           (stored.open, stored.high, stored.low, stored.close)
               <> (rolled.open, rolled.high, rolled.low, rolled.close)
           OR abs(stored.volume - rolled.volume) > %(tolerance)s * abs(rolled.volume))
FROM rolled FULL JOIN stored USING (candle_time)
"""
TOLERANCE = 1e-9

FIRST = """
SELECT min(candle_time) FROM candles
WHERE series_id = (SELECT id FROM series WHERE name = %(base)s)
"""


@dataclass(frozen=True, slots=True)
class Compared:
    """A derived series and the database's own roll-up, in numbers of candles.

    `unexpected` are stored where the roll-up has none; with partial candles off that is also what
    was partial before.
    """

    series: SeriesId
    candles: int
    missing: int
    unexpected: int
    differing: int

    @property
    def is_equal(self) -> bool:
        """Whether both have the same candles."""
        return not (self.missing or self.unexpected or self.differing)


def compare(
    connection: BaseDatabaseWrapper,
    known: dict[SeriesId, Progress],
    timeframes: DerivedTimeframes,
    *,
    keeps_partial: bool,
    is_hypertable: bool,
) -> Iterator[Compared]:
    """Compare every derived series, as far as it was made; one after another.

    `is_hypertable` is whether to compare with continuous aggregates.
    """
    for timeframe in timeframes.derived:
        chosen = sorted(each for each in known if each.timeframe == timeframe)
        if not chosen:
            continue
        with _without_timeout(connection):
            asked = {
                each: {
                    **_asked(connection, each, known[each], timeframes.base),
                    "partial": keeps_partial,
                    "tolerance": TOLERANCE if is_hypertable else 0.0,
                }
                for each in chosen
            }
            # Of a calendar: the longest part that no bucket divides.
            bounds = (time for each in asked.values() for time in (*each["opens"], *each["closes"]))
            is_calendar = timeframe.calendar is not None
            length = gcd(*bounds) or timeframes.base.seconds if is_calendar else timeframe.seconds
            source = _source(
                connection, timeframes.base, timeframe, length, is_hypertable=is_hypertable
            )
            whole = "expected" if is_calendar else f"{length} / {timeframes.base.seconds}"
            with source as rolled, connection.cursor() as cursor:
                for series, values in asked.items():
                    cursor.execute(COMPARE.format(source=rolled, whole=whole), values)
                    yield Compared(series, *cursor.fetchone())


def _asked(
    connection: BaseDatabaseWrapper, series: SeriesId, progress: Progress, base: Timeframe
) -> dict[str, Any]:
    """What to compare of a series, as values for the statements."""
    timeframe, over = series.timeframe, base.close_of(progress.head)
    names = {"name": str(series), "base": str(series.with_timeframe(base))}
    with connection.cursor() as cursor:
        cursor.execute(FIRST, names)
        (found,) = cursor.fetchone()
    first = over if found is None else timeframe.open_of(found)
    return {
        **names,
        "since": progress.since,
        "last": timeframe.closed_by(over),
        "first": first,
        **(_bounds(timeframe, first, over) if timeframe.calendar else {"opens": [], "closes": []}),
    }


def _bounds(timeframe: Timeframe, first: int, over: int) -> dict[str, list[int]]:
    """The opens and closes of all buckets from `first` on that are over."""
    bounds = [first]
    while (following := timeframe.close_of(bounds[-1])) <= over:
        bounds.append(following)
    return {"opens": bounds[:-1], "closes": bounds[1:]}


@contextmanager
def _without_timeout(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Let statements take their time: an aggregate can't be refreshed in a transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        (before,) = cursor.fetchone()
        cursor.execute("SET statement_timeout = 0")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('statement_timeout', %s, false)", [before])


@contextmanager
def _source(
    connection: BaseDatabaseWrapper,
    base: Timeframe,
    to: Timeframe,
    length: int,
    *,
    is_hypertable: bool,
) -> Iterator[str]:
    """What to read the roll-up of all base series from; an aggregate has buckets of `length`."""
    parts: dict[str, Any] = {
        "view": VIEW,
        "length": length,
        "offset": to.offset,
        "base_length": base.seconds,
        "base_offset": base.offset,
    }
    if not is_hypertable and to.calendar is not None:
        rolled = CALENDAR.format(parts=PARTS.format(**parts), **parts)
        yield f"({rolled}) AS plain"
        return
    if not is_hypertable:
        of_series = "AND series_id = (SELECT id FROM series WHERE name = %(base)s)"
        plain = PLAIN.replace("%", "%%").format(of_series=of_series, **parts)
        yield f"({plain.replace('%%(base)s', '%(base)s')}) AS plain"
        return
    drop = f"DROP MATERIALIZED VIEW IF EXISTS {VIEW}"
    with connection.cursor() as cursor:
        # A check that was killed left it.
        cursor.execute(drop)
        try:
            cursor.execute(AGGREGATE.format(**parts))
            cursor.execute(f"CALL refresh_continuous_aggregate('{VIEW}', NULL, NULL)")
            if to.calendar is None:
                yield VIEW
            else:
                rolled = CALENDAR.format(parts=AGGREGATED_PARTS.format(**parts), **parts)
                yield f"({rolled}) AS added"
        finally:
            cursor.execute(drop)
