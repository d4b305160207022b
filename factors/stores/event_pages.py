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
# events the page has and looked at; 2: its events; 3: the last one it looked at, and whether there
# are later ones.
PAGE = """
WITH this_series AS ({key}), seen AS MATERIALIZED (
    SELECT candle_time, id, factor_name, kind, event_key, payload, data FROM factor_events
    WHERE series_id = (SELECT id FROM this_series)
        AND (candle_time, id) > (%(time)s, %(number)s) AND candle_time <= %(end)s
    ORDER BY candle_time, id LIMIT %(most)s
), matching AS (
    SELECT *, sum(octet_length(payload) + coalesce(octet_length(data), 0))
        OVER (ORDER BY candle_time, id ROWS UNBOUNDED PRECEDING) AS size
    FROM seen WHERE {condition} ORDER BY candle_time, id LIMIT %(limit)s + 1
)
(SELECT 0, head_time, epoch, NULL::text, NULL::text, fingerprint, NULL::text, NULL::bytea,
    NULL::bigint
 FROM factor_state WHERE series_id = (SELECT id FROM this_series))
UNION ALL
(SELECT 1, (SELECT count(*) FROM matching), (SELECT count(*) FROM seen),
    NULL, NULL, NULL, NULL, NULL, (
    SELECT count(*) FROM factor_events WHERE series_id = (SELECT id FROM this_series)
        AND candle_time = %(time)s AND id = %(number)s))
UNION ALL
(SELECT 2, candle_time, id, factor_name, kind, event_key, payload, data,
    (SELECT id FROM this_series)
 FROM matching WHERE size - octet_length(payload) - coalesce(octet_length(data), 0) <= %(bytes)s)
UNION ALL
(SELECT 3, newest.candle_time, newest.id, NULL, NULL, NULL, NULL, NULL, (
    SELECT count(*) FROM (
        SELECT FROM factor_events WHERE series_id = (SELECT id FROM this_series)
            AND (candle_time, id) > (newest.candle_time, newest.id) AND candle_time <= %(end)s
        ORDER BY candle_time, id LIMIT 1) AS next)
 FROM (SELECT * FROM seen ORDER BY candle_time DESC, id DESC LIMIT 1) AS newest)
"""
KEY = f"SELECT {SERIES_KEY.replace('%s', '%(series)s')} AS id"
PAGE_OF_ALL = PAGE.format(key=KEY, condition="true")
PAGE_OF_KINDS = PAGE.format(key=KEY, condition="kind = ANY(%(kinds)s)")


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
    matching, seen, is_there = next((*row[1:3], row[8]) for row in rows if row[0] == 1)
    found = list(bounded(_events([row for row in rows if row[0] == 2][:limit])))
    last = found[-1].place if len(found) < matching else None
    if last is None and seen == most:
        last = next((EventPlace(*row[1:3]) for row in rows if row[0] == 3 and row[8]), None)
    return EventPage(position, isinstance(start, int) or bool(is_there), found, last)


def _events(rows: Sequence[tuple[Any, ...]]) -> Iterator[NumberedEvent]:
    """The events of rows of kind 2."""
    stored = (EventRow(row[8], *row[1:8]) for row in rows)
    for row, key, payload in unpack_events(stored, _read_in_order):
        event = Event(row.factor, row.kind, row.time, key, LazyObject(payload))
        yield NumberedEvent(row.number, event)


def _read_in_order(statement: str, values: tuple[object, ...] | Mapping[str, object]) -> list[Any]:
    return read_rows(IN_ORDER + statement, values)
