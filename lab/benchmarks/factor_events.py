"""A page of 5,000 factor events as JSON, against the bare query and orjson.

The first page and the last: a page costs the same wherever it begins. Rows as they are, then dense
ones, which are unpacked. Snapshots of levels, which are long, on a page of their own. Then 5,000
candles as feature columns, against bare queries of their times and events.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial

import orjson
import psycopg2
from django.utils.module_loading import import_string

from factors import runtime
from factors.events import MOST_EVENTS, Cursor, EventsPage, read_page
from factors.features import MOST_ROWS, read_features
from factors.stage import FactorStage
from factors.stores.postgres import PostgresFactorLedger
from lab.benchmarks.harness import Comparison, Target, interleave, print_machine
from lab.benchmarks.samples import new_series, walk
from lab.benchmarks.stack import stack
from market.domain.series import SeriesId
from market.pipeline import Pipeline
from market.runtime import candle_store

CANDLES = 100_000
BATCH = 5_000
AT_ONCE = 5
QUERY = (
    "SELECT id, candle_time, factor_name, kind, event_key, payload FROM factor_events"
    " WHERE series_id = (SELECT id FROM series WHERE name = %s) AND (candle_time, id) > (%s, %s)"
    " AND candle_time <= %s AND kind = ANY(%s) ORDER BY candle_time, id LIMIT %s"
)
TIMES = (
    "SELECT candle_time FROM candles WHERE series_id = (SELECT id FROM series WHERE name = %s)"
    " AND candle_time <= %s ORDER BY candle_time"
)
FIELDS = ("id", "candle_time", "factor", "kind", "event_key")
END = 2**40
SHORT = ["pivot.major", "pivot.minor", "pen.confirmed", "zhongshu.dead", "anchor.switch"]
LONG = ["sr.snapshot"]


def bare_features(connection: psycopg2.extensions.connection, series: SeriesId, end: int) -> bytes:
    """Read the times of candles and the rows of their events, and write them as JSON."""
    with connection.cursor() as cursor:
        cursor.execute(TIMES, (str(series), end))
        times = [time for (time,) in cursor.fetchall()]
    return orjson.dumps(times) + bare(connection, series, (0, 0), SHORT + LONG, end=end)


def timed(work: Callable[[], object]) -> float:
    """Return the milliseconds of one of several calls."""
    start = time.perf_counter()
    for _ in range(AT_ONCE):
        work()
    return 1000 * (time.perf_counter() - start) / AT_ONCE


def bare(
    connection: psycopg2.extensions.connection,
    series: SeriesId,
    place: tuple[int, int],
    kinds: list[str],
    *,
    end: int = END,
    limit: int = MOST_EVENTS,
) -> bytes:
    """Read the rows and write them as JSON, and nothing else."""
    with connection.cursor() as cursor:
        cursor.execute(QUERY, (str(series), *place, end, kinds, limit))
        rows = cursor.fetchall()
    return orjson.dumps(
        [
            dict(zip(FIELDS, row[:5], strict=True)) | {"payload": orjson.Fragment(row[5])}
            for row in rows
        ]
    )


def stored(*, dense: bool) -> SeriesId:
    """Return a series of CANDLES candles with the events of its factors."""
    series, candles = new_series(), walk()
    ledger = PostgresFactorLedger(dense=dense)
    pipeline = Pipeline(candle_store(), [FactorStage(ledger=ledger)])
    for _ in range(0, CANDLES, BATCH):
        pipeline.ingest(series, list(itertools.islice(candles, BATCH)))
    return series


def cursor_at(series: SeriesId, position: int) -> Cursor | None:
    """Return the cursor behind the first `position` short events."""
    cursor = None
    while position > 0:
        size = min(position, MOST_EVENTS)
        cursor = read_page(series, kinds=SHORT, limit=size, cursor=cursor).cursor
        position -= size
    return cursor


def main() -> None:
    """Print the comparisons."""
    print_machine()
    with (
        stack(ledgers=True) as installation,
        closing(psycopg2.connect(installation.database_url)) as connection,
    ):
        connection.autocommit = True
        # The views can be imported only now that Django is set up.
        events_body = import_string("factors.api.events.events_body")
        features_body = import_string("factors.api.features.features_body")
        plain, dense = stored(dense=False), stored(dense=True)
        counts = runtime.factor_ledger().event_counts(plain)
        count = sum(each.event_count for each in counts if each.kind in SHORT)
        print(f"{count:,} events of {CANDLES:,} candles, beside snapshots")
        last = cursor_at(plain, count - MOST_EVENTS)
        assert last is not None
        pages: dict[str, tuple[SeriesId, list[str], Cursor | None]] = {
            "the first": (plain, SHORT, None),
            "the last": (plain, SHORT, last),
            "the first, dense rows": (dense, SHORT, None),
            "snapshots": (plain, LONG, None),
            "snapshots, dense rows": (dense, LONG, None),
        }
        for title, (series, kinds, cursor) in pages.items():
            read = partial(read_page, series, kinds=kinds, limit=MOST_EVENTS, cursor=cursor)
            found = read().events
            size = len(events_body(series, read())) / 1e6
            title = f"{title} ({len(found):,} events, {size:.1f} MB)"
            place = (0, 0) if cursor is None else cursor.place
            limit = partial(bare, connection, plain, place, kinds, limit=len(found))

            def page(series: SeriesId = series, read: Callable[[], EventsPage] = read) -> None:
                events_body(series, read())

            both = interleave(partial(timed, page), partial(timed, limit))
            target = None if series is dense else Target(2.0)
            print(Comparison(f"a page of events, {title}", "ms", *both, target), flush=True)
        columns = read_features(plain, limit=MOST_ROWS).table
        names = [name for name in columns.columns if name.startswith("pen_")]
        end = columns.candle_time[-1]
        for title, asked in (("all columns", None), ("those of pens", names)):

            def table(asked: list[str] | None = asked) -> None:
                features_body(plain, read_features(plain, columns=asked, limit=MOST_ROWS))

            limit = partial(bare_features, connection, plain, end)
            both = interleave(partial(timed, table), partial(timed, limit))
            print(Comparison(f"5,000 rows of features, {title}", "ms", *both), flush=True)


if __name__ == "__main__":
    main()
