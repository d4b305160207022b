"""The factor ledger in PostgreSQL: as few statements as possible, all set-based.

A head that only repeats its candle's event is stored without a text of its own: the levels of a
snapshot are the greatest part of the ledger and would be stored twice. A dense row has its texts
packed in `data`, and empty columns in their place; reads understand both forms in one table.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import partial
from itertools import chain
from typing import Any, NamedTuple, cast

import orjson
from typing_extensions import override

from factors.domain.checkpoints import Checkpoint
from factors.domain.ledger import (
    EventCount,
    EventPage,
    EventPlace,
    FactorLedger,
    LedgerView,
    LedgerWriter,
    Position,
    Saved,
)
from factors.domain.values import Event, Head, Payload, StepResult
from factors.lazy_json import LazyObject
from factors.stores.chains import (
    EventRow,
    KeptLasts,
    Lasts,
    pack_event,
    text_of,
    texts_of,
    unpack_events,
)
from factors.stores.dense import depth_of, packed, unpacked
from factors.stores.event_pages import event_page
from factors.stores.shared import (
    PostgresCheckpoints,
    copy_rows,
    position_in,
    saved_in,
    stored_origin,
)
from market.domain.series import SeriesId
from market.domain.store import SeriesWriter
from market.stores.postgres import SERIES_KEY, read_rows
from market.stores.postgres_writer import COPY_FROM_ROWS, REQUIRE, PostgresWriter, listed

EVENT_COLUMNS = "candle_time, factor_name, kind, event_key, payload, data"
HEAD_COLUMNS = "factor_name, candle_time, head, data"

MOVE = """
UPDATE factor_state AS held SET head_time = given.head_time, epoch = given.epoch,
    fingerprint = given.fingerprint
FROM (VALUES %s) AS given (series_id, head_time, epoch, fingerprint, old_time, old_epoch, old_print)
WHERE held.series_id = given.series_id
    AND (held.head_time, held.epoch, held.fingerprint) = (old_time, old_epoch, old_print)
RETURNING held.series_id
"""
BEGIN = """
INSERT INTO factor_state (series_id, head_time, epoch, fingerprint) VALUES %s
ON CONFLICT DO NOTHING RETURNING series_id
"""

# The names that occur, each found by one step in the index.
NAMES = """
WITH RECURSIVE this_series AS ({key}), found AS (
    (SELECT factor_name FROM factor_heads WHERE series_id = (SELECT id FROM this_series)
     ORDER BY factor_name LIMIT 1)
    UNION ALL
    SELECT (SELECT factor_name FROM factor_heads WHERE series_id = (SELECT id FROM this_series)
            AND factor_name > found.factor_name ORDER BY factor_name LIMIT 1)
    FROM found WHERE found.factor_name IS NOT NULL
), names AS (SELECT factor_name FROM found WHERE factor_name IS NOT NULL)
"""
NAMES_OF_SERIES = NAMES.format(key=f"SELECT {SERIES_KEY} AS id")
NAMES_OF_KEY = NAMES.format(key="SELECT %s AS id")

# Of a head without a text the event that it repeats.
REPEATED = """(
    SELECT {column} FROM factor_events AS event
    WHERE event.series_id = held.series_id AND event.candle_time = held.candle_time
      AND event.factor_name = held.factor_name ORDER BY id DESC LIMIT 1
)"""
HEAD_TEXT = f"""
coalesce(held.head, {REPEATED.format(column="payload")}),
CASE WHEN held.head IS NULL THEN {REPEATED.format(column="data")} ELSE held.data END,
held.head IS NULL
"""

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

DROP_HEADS = f"""
{NAMES_OF_KEY}
DELETE FROM factor_heads USING names
WHERE factor_heads.series_id = (SELECT id FROM this_series)
    AND factor_heads.factor_name = names.factor_name AND candle_time >= %s
"""


class Appended(NamedTuple):
    """What an append adds to the ledger of one series: events and heads as their tables hold them.

    All rows begin with the series' key.
    """

    key: int
    expected: Position | None
    after: Position
    events: list[tuple[Any, ...]]
    heads: list[tuple[Any, ...]]


def _append(cursor: Any, entries: Sequence[Appended]) -> bytes:
    """Write the entries of several series; each ledger must be where its entry expects it."""
    new = [each for each in entries if each.expected is None]
    known = [each for each in entries if each.expected is not None]
    return b";".join(_statement(cursor, each, REQUIRE % len(each)) for each in (known, new) if each)


def _statement(cursor: Any, entries: Sequence[Appended], answer: str) -> bytes:
    """Everything in one statement: this is the path of each live candle."""
    parts = [b"WITH moved AS (" + _moved(cursor, entries) + b")"]
    events = list(chain.from_iterable(each.events for each in entries))
    heads = list(chain.from_iterable(each.heads for each in entries))
    parts += [_added(cursor, *each) for each in _tables(events, heads)]
    return b",".join(parts) + f" SELECT {answer} FROM moved".encode()


def _moved(cursor: Any, entries: Sequence[Appended]) -> bytes:
    """Move the ledgers, either all of them new or none; returns the series that were moved."""
    places = [(each.key, *each.after, *(each.expected or ())) for each in entries]
    statement = BEGIN if entries[0].expected is None else MOVE
    place = f"({', '.join(['%s'] * len(places[0]))})"
    return statement.encode() % listed(cursor, place, places)


def _added(cursor: Any, table: str, columns: str, rows: list[tuple[Any, ...]]) -> bytes:
    place = f"({', '.join(['%s'] * len(rows[0]))}, %s::bytea)"
    given = listed(cursor, place, [(position, *row) for position, row in enumerate(rows)])
    return (
        f"into_{table} AS (INSERT INTO {table} (series_id, {columns})"
        f" SELECT series_id, {columns} FROM moved JOIN (VALUES ".encode()
        + given
        + f") AS given (position, series_id, {columns}) USING (series_id)"
        " ORDER BY position)".encode()
    )


class PostgresFactorWriter(LedgerWriter[StepResult]):
    """The ledger of one series on the cursor of its candles' transaction."""

    def __init__(self, writer: PostgresWriter, lasts: KeptLasts | None) -> None:
        dense = lasts is not None
        self._key = writer.key
        self._writer = writer
        self._lasts = lasts
        self._is_cut = False
        self.checkpoints: PostgresCheckpoints = PostgresCheckpoints(
            writer, "factor_checkpoints", dense=dense
        )

    @override
    def position(self) -> Position | None:
        return position_in("factor_state", self._writer)

    @override
    def append(
        self, expected: Position | None, after: Position, entries: Sequence[StepResult]
    ) -> bool:
        added = Appended(self._key, expected, after, *self._rows(expected, after, entries))
        cursor = self._writer.cursor
        if len(added.events) + len(added.heads) < COPY_FROM_ROWS:
            cursor.execute(_statement(cursor, [added], "count(*)"))
            return bool(cursor.fetchone()[0])
        cursor.execute(_moved(cursor, [added]))
        if not cursor.rowcount:
            return False
        for table, columns, rows in _tables(added.events, added.heads):
            copy_rows(table, f"series_id, {columns}", rows, self._writer)
        return True

    @override
    def append_late(
        self, expected: Position | None, after: Position, entries: Sequence[StepResult]
    ) -> None:
        events, heads = self._rows(expected, after, entries)
        if len(events) + len(heads) < COPY_FROM_ROWS:
            self._writer.defer(_append, Appended(self._key, expected, after, events, heads))
        else:
            super().append_late(expected, after, entries)

    @override
    def truncate(self, from_time: int) -> None:
        self._is_cut = True
        self._writer.cursor.execute(
            "DELETE FROM factor_events WHERE series_id = %s AND candle_time >= %s",
            (self._key, from_time),
        )
        self._writer.cursor.execute(DROP_HEADS, (self._key, from_time))
        self.checkpoints.truncate(from_time)

    def _rows(
        self, expected: Position | None, after: Position, entries: Sequence[StepResult]
    ) -> tuple[list[Any], list[Any]]:
        """The rows of new entries; what they end with is kept after the commit."""
        if self._lasts is None:
            return _rows(self._key, entries, None)
        series, generation = self._writer.series, self._writer.state.generation
        lasts = {} if self._is_cut else self._lasts.of(series, expected, generation)
        rows = _rows(self._key, entries, lasts)
        self._writer.on_commit(partial(self._lasts.put, series, after, generation, lasts))
        return rows


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
            _bare(repeated[factor, time])
            if (factor, time) in repeated and repeats
            else _head(time, text, data, repeats_event=repeats)
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


def _rows(
    key: int, steps: Sequence[StepResult], lasts: Lasts | None
) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """Events and heads as their tables hold them; dense ones where the last events are given."""
    events: list[Any] = []
    for factor, kind, time, name, payload in chain.from_iterable(step.events for step in steps):
        text = orjson.dumps(payload).decode()
        if lasts is None:
            events.append((key, time, factor, kind, name, text, None))
        else:
            data = pack_event(time, factor, kind, text_of(name, text), lasts)
            events.append((key, time, factor, kind, "", "", data))
    dense = lasts is not None
    return events, [
        _head_row(key, head, step.events, dense=dense) for step in steps for head in step.heads
    ]


def dense_head(time: int, head: str) -> tuple[str, bytes]:
    """The text of a head packed."""
    return "", packed(head, time)


def head_text(time: int, head: str, data: memoryview | None) -> str:
    """The head of a row that has a text, in either form."""
    return head if data is None else unpacked(data, time)


def _tables(
    events: list[tuple[Any, ...]], heads: list[tuple[Any, ...]]
) -> list[tuple[str, str, list[tuple[Any, ...]]]]:
    """The tables to write to, with columns and rows."""
    both = [("factor_events", EVENT_COLUMNS, events), ("factor_heads", HEAD_COLUMNS, heads)]
    return [each for each in both if each[2]]


def _head_row(key: int, head: Head, events: Iterable[Event], *, dense: bool) -> tuple[Any, ...]:
    """A head; without a text if the factor's last event of the candle has the same fields."""
    payloads = [event.payload for event in events if event.factor == head.factor]
    repeats = payloads and list(_bare(payloads[-1]).items()) == list(head.head.items())
    if repeats:
        return key, head.factor, head.candle_time, None, None
    text = orjson.dumps(head.head).decode()
    texts = dense_head(head.candle_time, text) if dense else (text, None)
    return key, head.factor, head.candle_time, *texts


def _bare(payload: Payload) -> Payload:
    return {name: value for name, value in payload.items() if name != "visible_time"}


def _head(time: int, text: str, data: memoryview | None, *, repeats_event: bool) -> Payload:
    found: Payload
    if not repeats_event:
        found = orjson.loads(head_text(time, text, data))
        return found
    payload = text if data is None else texts_of(unpacked(data, time))[1]
    found = orjson.loads(payload)
    return _bare(found)
