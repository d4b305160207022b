"""Writes the factor ledger into PostgreSQL: as few statements as possible, all set-based."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

import orjson
from typing_extensions import override

from factors.domain.ledger import LedgerWriter, Position
from factors.domain.values import StepResult
from factors.stores.chains import KeptLasts, Lasts, pack_event, text_of
from factors.stores.heads import NAMES_OF_KEY, head_row
from factors.stores.shared import PostgresCheckpoints, copy_rows, position_in
from market.stores.postgres_writer import COPY_FROM_ROWS, REQUIRE, PostgresWriter, listed

EVENT_COLUMNS = "candle_time, factor_name, kind, event_key, payload, data"
HEAD_COLUMNS = "factor_name, candle_time, head, data"

# A migration makes the function.
MOVE_ONE = b"SELECT move_factor_ledger(%s, %s, %s, %s, %s, %s, %s)"
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
    if len(entries) == 1 and entries[0].expected is not None:
        return _append_one(cursor, entries[0], entries[0].expected)
    new = [each for each in entries if each.expected is None]
    known = [each for each in entries if each.expected is not None]
    return b";".join(_statement(cursor, each, REQUIRE % len(each)) for each in (known, new) if each)


def _append_one(cursor: Any, added: Appended, expected: Position) -> bytes:
    """The same for one series, as for each live candle: plain statements take less to plan."""
    parts = [cursor.mogrify(MOVE_ONE, (added.key, *added.after, *expected))]
    for table, columns, rows in _tables(added.events, added.heads):
        place = f"({', '.join(['%s'] * len(rows[0]))})"
        into = f"INSERT INTO {table} (series_id, {columns}) VALUES ".encode()
        parts.append(into + listed(cursor, place, rows))
    return b";".join(parts)


def _statement(cursor: Any, entries: Sequence[Appended], answer: str) -> bytes:
    """Everything in one statement, which writes nothing for a ledger that is not as expected."""
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
        head_row(key, head, step.events, dense=dense) for step in steps for head in step.heads
    ]


def _tables(
    events: list[tuple[Any, ...]], heads: list[tuple[Any, ...]]
) -> list[tuple[str, str, list[tuple[Any, ...]]]]:
    """The tables to write to, with columns and rows."""
    both = [("factor_events", EVENT_COLUMNS, events), ("factor_heads", HEAD_COLUMNS, heads)]
    return [each for each in both if each[2]]
