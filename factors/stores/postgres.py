"""The factor ledger in PostgreSQL, and its reads; factors.stores.postgres_writer writes it.

A dense row has its texts packed in `data`, and empty columns in their place; reads understand both
forms in one table.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, cast

import orjson
from typing_extensions import override

from factors.domain.checkpoints import Checkpoint
from factors.domain.ledger import (
    EventCount,
    EventPage,
    EventPlace,
    FactorLedger,
    LedgerView,
    Position,
    Saved,
)
from factors.domain.values import Event, Head, Payload
from factors.lazy_json import LazyObject
from factors.stores.chains import EventRow, KeptLasts, unpack_events
from factors.stores.dense import depth_of
from factors.stores.event_pages import event_page
from factors.stores.heads import HEAD_TEXT, NAMES_OF_SERIES, bare, head_of
from factors.stores.postgres_writer import PostgresFactorWriter
from factors.stores.shared import saved_in, stored_origin
from market.domain.series import SeriesId
from market.domain.store import SeriesWriter
from market.stores.postgres import SERIES_KEY, read_rows
from market.stores.postgres_writer import PostgresWriter

VIEW = f"""
{NAMES_OF_SERIES}
(SELECT 0, head_time, epoch, fingerprint, NULL, NULL, NULL, NULL::bytea, NULL::boolean,
    series_id
 FROM factor_state WHERE series_id = (SELECT id FROM this_series))
UNION ALL
(SELECT 1, candle_time, id, factor_name, kind, event_key, payload, data, NULL, series_id
 FROM factor_events
 WHERE series_id = (SELECT id FROM this_series) AND candle_time BETWEEN %s AND %s
 ORDER BY candle_time, id LIMIT %s)
UNION ALL
(SELECT 2, held.candle_time, held.seq, held.factor_name, NULL, NULL, {HEAD_TEXT}, NULL
 FROM names CROSS JOIN LATERAL (
    SELECT * FROM factor_heads WHERE series_id = (SELECT id FROM this_series)
    AND factor_name = names.factor_name AND candle_time <= %s
    ORDER BY candle_time DESC, seq DESC LIMIT 1
 ) AS held)
"""

EVENTS = f"""
SELECT series_id, candle_time, id, factor_name, kind, event_key, payload, data FROM factor_events
WHERE series_id = {SERIES_KEY} AND candle_time BETWEEN %s AND %s ORDER BY candle_time, id
"""

HEADS = f"""
{NAMES_OF_SERIES}
SELECT held.factor_name, held.candle_time, {HEAD_TEXT}
FROM names JOIN factor_heads AS held ON held.series_id = (SELECT id FROM this_series)
    AND held.factor_name = names.factor_name AND held.candle_time BETWEEN %s AND %s
ORDER BY held.candle_time, held.factor_name, held.seq
"""


class PostgresFactorLedger(FactorLedger):
    """The factor ledgers on the tables `factor_…`; new rows are `dense`, or not."""

    def __init__(self, *, dense: bool = False) -> None:
        self._lasts = KeptLasts() if dense else None

    @override
    def writing(self, writer: SeriesWriter) -> PostgresFactorWriter:
        return PostgresFactorWriter(cast(PostgresWriter, writer), self._lasts)

    @override
    def position(self, series: SeriesId) -> Position | None:
        rows = read_rows(
            "SELECT head_time, epoch, fingerprint FROM factor_state"
            f" WHERE series_id = {SERIES_KEY}",
            (str(series),),
        )
        return Position(*rows[0]) if rows else None

    @override
    def saved(self, series: Collection[SeriesId]) -> dict[SeriesId, Saved]:
        return saved_in("factor_state", "factor_checkpoints", series)

    @override
    def origin(self, series: SeriesId) -> Checkpoint | None:
        return stored_origin("factor_checkpoints", series)

    @override
    def view(self, series: SeriesId, *, start: int, at_time: int, limit: int) -> LedgerView:
        rows = read_rows(VIEW, (str(series), start, at_time, limit, at_time))
        rows.sort(key=lambda row: row[:3])
        state = next((Position(*row[1:4]) for row in rows if row[0] == 0), None)
        found = [EventRow(row[9], *row[1:8]) for row in rows if row[0] == 1]
        events = [
            Event(row.factor, row.kind, row.time, key, LazyObject(payload))
            for row, key, payload in unpack_events(found, read_rows)
        ]
        held = [(row[3], row[1], *row[6:9]) for row in rows if row[0] == 2]
        heads = {row[0]: head for row, head in zip(held, self._heads(series, held), strict=True)}
        return LedgerView(state, events, heads)

    @override
    def events(self, series: SeriesId, start: int, end: int) -> list[Event]:
        found = map(EventRow._make, read_rows(EVENTS, (str(series), start, end)))
        return [
            Event(row.factor, row.kind, row.time, key, orjson.loads(payload))
            for row, key, payload in unpack_events(found, read_rows)
        ]

    @override
    def event_page(
        self,
        series: SeriesId,
        *,
        start: int | EventPlace,
        end: int,
        kinds: Collection[str] | None,
        limit: int,
    ) -> EventPage:
        return event_page(series, start, end=end, kinds=kinds, limit=limit)

    @override
    def heads(self, series: SeriesId, start: int, end: int) -> list[Head]:
        rows = read_rows(HEADS, (str(series), start, end))
        found = self._heads(series, rows)
        return [Head(row[0], row[1], head) for row, head in zip(rows, found, strict=True)]

    def _heads(self, series: SeriesId, rows: Sequence[tuple[Any, ...]]) -> list[Payload]:
        """The heads of rows of factor, time, and the columns of HEAD_TEXT."""
        chained = [row[1] for row in rows if row[4] and row[3] is not None and depth_of(row[3])]
        events = self.events(series, min(chained), max(chained)) if chained else []
        # Of several events of a candle the last one.
        repeated = {(event.factor, event.candle_time): event.payload for event in events}
        return [
            bare(repeated[factor, time])
            if (factor, time) in repeated and repeats
            else head_of(time, text, data, repeats_event=repeats)
            for factor, time, text, data, repeats in rows
        ]

    @override
    def last_event_id(self, series: SeriesId) -> int:
        rows = read_rows(
            f"SELECT id FROM factor_events WHERE series_id = {SERIES_KEY}"
            " ORDER BY candle_time DESC, id DESC LIMIT 1",
            (str(series),),
        )
        return int(rows[0][0]) if rows else 0

    @override
    def event_counts(self, series: SeriesId) -> list[EventCount]:
        rows = read_rows(
            "SELECT factor_name, kind, count(*) FROM factor_events"
            f" WHERE series_id = {SERIES_KEY} GROUP BY 1, 2",
            (str(series),),
        )
        # Sorted here: a collation of the database may order names in another way.
        return sorted(EventCount(*row) for row in rows)
