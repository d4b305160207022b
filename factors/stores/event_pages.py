"""Reads a page of events from PostgreSQL: with its ledger's position, in one statement."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from factors.domain.ledger import (
    MOST_SKIPPED,
    PAGE_BYTES,
    EventPage,
    EventPlace,
    NumberedEvent,
    Position,
)
from factors.domain.values import Event
from factors.lazy_json import LazyObject
from factors.stores.chains import EventRow, unpack_events
from factors.stores.shared import bounded
from market.domain.series import SeriesId
from market.stores.postgres import SERIES_KEY, read_rows

# PostgreSQL, as long as it has no statistics of the rows, would read and sort the whole rest of a
# ledger for a page of it. In one string with a statement this lasts as long as that.
IN_ORDER = "SET LOCAL enable_bitmapscan = off; SET LOCAL enable_seqscan = off;"

# Rows of kind 0: the ledger's position; 1: whether the event before the page is there, and how many
# events match, up to one more than the page has; 2: those of the page; 3: if they are not that
# many, the last event that the page looks at and the one behind it, if there are so many.
PAGE = """
WITH this_series AS ({key}), matching AS MATERIALIZED (
    SELECT *, sum(octet_length(payload) + coalesce(octet_length(data), 0))
        OVER (ORDER BY candle_time, id ROWS UNBOUNDED PRECEDING) AS size
    FROM (
        SELECT * FROM (
            SELECT candle_time, id, factor_name, kind, event_key, payload, data
            FROM factor_events WHERE {later} ORDER BY candle_time, id LIMIT %(most)s
        ) AS seen
        WHERE {condition} ORDER BY candle_time, id LIMIT %(limit)s + 1
    ) AS found
)
(SELECT 0, head_time, epoch, NULL::text, NULL::text, fingerprint, NULL::text, NULL::bytea,
    NULL::bigint
 FROM factor_state WHERE series_id = (SELECT id FROM this_series))
UNION ALL
(SELECT 1, (SELECT count(*) FROM matching), NULL, NULL, NULL, NULL, NULL, NULL, (
    SELECT count(*) FROM factor_events WHERE series_id = (SELECT id FROM this_series)
        AND candle_time = %(time)s AND id = %(number)s))
UNION ALL
(SELECT 2, candle_time, id, factor_name, kind, event_key, payload, data,
    (SELECT id FROM this_series)
 FROM matching WHERE size - octet_length(payload) - coalesce(octet_length(data), 0) <= %(bytes)s)
UNION ALL
(SELECT 3, candle_time, id, NULL, NULL, NULL, NULL, NULL, NULL FROM factor_events
 WHERE (SELECT count(*) FROM matching) <= %(limit)s AND {later}
 ORDER BY candle_time, id OFFSET %(most)s - 1 LIMIT 2)
"""
LATER = """series_id = (SELECT id FROM this_series)
    AND (candle_time, id) > (%(time)s, %(number)s) AND candle_time <= %(end)s"""
KEY = f"SELECT {SERIES_KEY.replace('%s', '%(series)s')} AS id"
PAGE_OF_ALL = PAGE.format(key=KEY, later=LATER, condition="true")
PAGE_OF_KINDS = PAGE.format(key=KEY, later=LATER, condition="kind = ANY(%(kinds)s)")


def event_page(
    series: SeriesId,
    start: int | EventPlace,
    *,
    end: int,
    kinds: Collection[str] | None,
    limit: int,
) -> EventPage:
    """The page of `FactorLedger.event_page`."""
    # Numbers begin with 1.
    after = EventPlace(start, 0) if isinstance(start, int) else start
    most = limit + 1 if kinds is None else max(limit + 1, MOST_SKIPPED)
    rows = _read_in_order(
        PAGE_OF_ALL if kinds is None else PAGE_OF_KINDS,
        {
            "series": str(series),
            "time": after.candle_time,
            "number": after.number,
            "end": end,
            "kinds": list(kinds or ()),
            "most": most,
            "limit": limit,
            "bytes": PAGE_BYTES,
        },
    )
    rows.sort(key=lambda row: row[:3])
    position = next((Position(row[1], row[2], row[5]) for row in rows if row[0] == 0), None)
    matching, is_there = next((row[1], row[8]) for row in rows if row[0] == 1)
    found = list(bounded(_events([row for row in rows if row[0] == 2][:limit])))
    last = found[-1].place if len(found) < matching else None
    ends = [EventPlace(*row[1:3]) for row in rows if row[0] == 3]
    if last is None and len(ends) == 2:
        last = ends[0]
    return EventPage(position, isinstance(start, int) or bool(is_there), found, last)


def _events(rows: Sequence[tuple[Any, ...]]) -> Iterator[NumberedEvent]:
    """The events of rows of kind 2."""
    stored = (EventRow(row[8], *row[1:8]) for row in rows)
    for row, key, payload in unpack_events(stored, _read_in_order):
        event = Event(row.factor, row.kind, row.time, key, LazyObject(payload))
        yield NumberedEvent(row.number, event)


def _read_in_order(statement: str, values: tuple[object, ...] | Mapping[str, object]) -> list[Any]:
    return read_rows(IN_ORDER + statement, values)
