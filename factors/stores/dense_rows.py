"""Packing stored rows of the ledgers, and unpacking them: in batches, beside readers and writers.

A batch locks the rows that no other transaction has locked, and waits for nothing; what was locked
is met in the next round. Only the form of a row changes, never what it says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg2.extras import execute_values

from factors.stores.chains import (
    EventRow,
    Last,
    Lasts,
    pack_event,
    predecessor,
    text_of,
    unpack_events,
)
from factors.stores.dense import LONG, packed
from factors.stores.heads import dense_head, head_text
from factors.stores.shared import DEFLATED, deflated, inflated

AT_ONCE = 2_000
MOST_ROUNDS = 20

Texts = tuple[Any, ...]
Query = Callable[[str, Sequence[Any]], list[Any]]


class Table(NamedTuple):
    """A table with rows in two forms.

    `packed` and `unpacked` turn rows of `key` and `row` and `texts` into the values of `texts` (of
    which the last is `data`) in the other form. `plain` and `dense` are conditions of the forms.
    """

    name: str
    key: Sequence[str]
    row: Sequence[str]
    texts: Sequence[str]
    packed: Callable[[Sequence[Any], Query], Iterable[Texts]]
    unpacked: Callable[[Sequence[Any], Query], Iterable[Texts]]
    plain: str = "data IS NULL"
    dense: str = "data IS NOT NULL"


def pack_events(rows: Sequence[Any], query: Query) -> Iterator[Texts]:
    """Events packed, long ones behind their predecessors."""
    lasts: dict[tuple[int, str, str], Last] = {}
    for row in map(EventRow._make, rows):
        place, text = (row.series_id, row.factor, row.kind), text_of(row.key, row.payload)
        if len(text) < LONG:
            yield "", "", packed(text, row.time)
            continue
        # Another form of it may be stored by now, with the same text.
        last = predecessor(row, query)
        if place in lasts and lasts[place].text == last.text:
            last = lasts[place]
        own: Lasts = {(row.factor, row.kind): last} if len(last.text) >= LONG else {}
        data = pack_event(row.time, row.factor, row.kind, text, own)
        lasts[place] = own[row.factor, row.kind]
        yield "", "", data


def unpack(rows: Sequence[Any], query: Query) -> Iterator[Texts]:
    """Events unpacked, each by itself: rows between them may be missing here."""
    for row in map(EventRow._make, rows):
        for _, key, payload in unpack_events([row], query):
            yield key, payload, None


FACTOR_TABLES: tuple[Table, ...] = (
    Table(
        name="factor_events",
        key=("series_id", "candle_time", "id"),
        row=("factor_name", "kind"),
        texts=("event_key", "payload", "data"),
        packed=pack_events,
        unpacked=unpack,
    ),
    Table(
        name="factor_heads",
        key=("series_id", "factor_name", "candle_time", "seq"),
        row=(),
        texts=("head", "data"),
        packed=lambda rows, _: (dense_head(row[2], row[4]) for row in rows),
        unpacked=lambda rows, _: ((head_text(row[2], row[4], row[5]), None) for row in rows),
        plain="data IS NULL AND head IS NOT NULL",
    ),
)


def checkpoints(name: str) -> Table:
    """A table of checkpoints."""
    begins = f"substring(data FROM 1 FOR {len(DEFLATED)}) = '\\x{DEFLATED.hex()}'::bytea"
    return Table(
        name=name,
        key=("series_id", "candle_time"),
        row=(),
        texts=("data",),
        packed=lambda rows, _: ((deflated(bytes(row[2])),) for row in rows),
        unpacked=lambda rows, _: ((inflated(bytes(row[2])),) for row in rows),
        plain=f"NOT {begins}",
        dense=begins,
    )


FACTOR_TABLES += (checkpoints("factor_checkpoints"),)


def count(table: Table, connection: BaseDatabaseWrapper, *, dense: bool) -> int:
    """Rows of a table that are dense, or that are not."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT count(*) FROM {table.name} WHERE {table.dense if dense else table.plain}"
        )
        return int(cursor.fetchone()[0])


def move(
    table: Table, connection: BaseDatabaseWrapper, *, dense: bool, at_once: int = AT_ONCE
) -> Iterator[int]:
    """Pack the rows of a table, or unpack them; yield how many after each batch's commit.

    Ends when every row has the form, or after MOST_ROUNDS through the table.
    """
    for _ in range(MOST_ROUNDS):
        after: tuple[Any, ...] | None = None
        while True:
            with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
                last, moved = _batch(table, cursor, after, dense=dense, at_once=at_once)
            if last is None:
                break
            after = last
            yield moved
        if not count(table, connection, dense=not dense):
            return


def _batch(
    table: Table, cursor: Any, after: tuple[Any, ...] | None, *, dense: bool, at_once: int
) -> tuple[tuple[Any, ...] | None, int]:
    """Change one batch behind a key; return the last key of it, None behind the last row."""
    key, texts = ", ".join(table.key), ", ".join(table.texts)
    columns = ", ".join((*table.key, *table.row, *table.texts))
    behind = f"AND ({key}) > ({', '.join(['%s'] * len(table.key))})" if after else ""
    cursor.execute(
        f"SELECT {columns} FROM {table.name} WHERE {table.plain if dense else table.dense} {behind}"
        f" ORDER BY {key} LIMIT {at_once} FOR UPDATE SKIP LOCKED",
        after or (),
    )
    found, width = cursor.fetchall(), len(table.key)
    if not found:
        return None, 0

    def query(statement: str, parameters: Sequence[Any]) -> list[Any]:
        cursor.execute(statement, parameters)
        rows: list[Any] = cursor.fetchall()
        return rows

    changed = (table.packed if dense else table.unpacked)(found, query)
    values = [(*row[:width], *texts) for row, texts in zip(found, changed, strict=True)]
    place = ", ".join("%s::bytea" if name == "data" else "%s" for name in table.texts)
    execute_values(
        cursor.cursor,
        f"UPDATE {table.name} AS stored SET"
        f" {', '.join(f'{name} = given.{name}' for name in table.texts)}"
        f" FROM (VALUES %s) AS given ({key}, {texts})"
        f" WHERE {' AND '.join(f'stored.{name} = given.{name}' for name in table.key)}",
        values,
        template=f"({', '.join(['%s'] * width)}, {place})",
        page_size=at_once,
    )
    return tuple(found[-1][:width]), len(found)


def unpack_all(tables: Sequence[Table], connection: BaseDatabaseWrapper) -> None:
    """Unpack every dense row, as the release before needs them."""
    for table in tables:
        for _ in move(table, connection, dense=False):
            pass
