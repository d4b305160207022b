"""What the stores of both ledgers share: checkpoints, the position, and bulk writes."""

from __future__ import annotations

import io
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from operator import attrgetter
from typing import Any, NamedTuple, cast

from typing_extensions import override

from factors.domain.checkpoints import ORIGIN, Checkpoint, Checkpoints
from factors.domain.ledger import PAGE_BYTES, NumberedEvent, Position, Saved
from factors.lazy_json import LazyObject
from market.domain.series import SeriesId
from market.stores.postgres import SERIES_KEY, read_rows
from market.stores.postgres_writer import Compose, PostgresWriter, listed


class MemoryCheckpoints(Checkpoints):
    """Works on a copy: `saved` is what the ledger takes over when its transaction commits."""

    def __init__(self, saved: Mapping[int, Checkpoint]) -> None:
        self.saved = saved

    @override
    def newest(self, before: int) -> Checkpoint | None:
        older = [each for each in self.saved.values() if each.candle_time < before]
        return max(older, key=attrgetter("candle_time"), default=None)

    @override
    def origin(self) -> int | None:
        return self.saved[ORIGIN].candle_time if ORIGIN in self.saved else None

    @override
    def counts(self) -> list[int]:
        return sorted(self.saved)

    @override
    def save(self, checkpoints: Sequence[Checkpoint], *, keep: Collection[int]) -> None:
        left = {count: each for count, each in self.saved.items() if count in keep}
        self.saved = left | {each.candle_count: each for each in checkpoints}

    @override
    def truncate(self, from_time: int) -> None:
        self.saved = {
            count: each for count, each in self.saved.items() if each.candle_time < from_time
        }


# What a deflated state begins with; others are JSON.
DEFLATED = b"\x00z1"


class PostgresCheckpoints(Checkpoints):
    """One table, in the transaction of `writer`; states are deflated if rows are `dense`."""

    def __init__(self, writer: PostgresWriter, table: str, *, dense: bool) -> None:
        self._dense = dense
        self._key = writer.key
        self._writer = writer
        self._table = table

    @override
    def newest(self, before: int) -> Checkpoint | None:
        cursor = self._writer.cursor
        cursor.execute(
            f"SELECT candle_time, candle_count, data FROM {self._table}"
            " WHERE series_id = %s AND candle_time < %s ORDER BY candle_time DESC LIMIT 1",
            (self._key, before),
        )
        row = cursor.fetchone()
        return None if row is None else Checkpoint(row[0], row[1], inflated(bytes(row[2])))

    @override
    def origin(self) -> int | None:
        cursor = self._writer.cursor
        cursor.execute(
            f"SELECT candle_time FROM {self._table}"
            f" WHERE series_id = %s AND candle_count = {ORIGIN}",
            (self._key,),
        )
        row = cursor.fetchone()
        return None if row is None else int(row[0])

    @override
    def counts(self) -> list[int]:
        cursor = self._writer.cursor
        cursor.execute(
            f"SELECT candle_count FROM {self._table} WHERE series_id = %s ORDER BY 1", (self._key,)
        )
        return [count for (count,) in cursor.fetchall()]

    @override
    def save(self, checkpoints: Sequence[Checkpoint], *, keep: Collection[int]) -> None:
        rows = [
            (self._key, time, count, deflated(data) if self._dense else data)
            for time, count, data in checkpoints
        ]
        self._writer.defer(_saving(self._table), _Added(self._key, sorted(keep), rows))

    @override
    def truncate(self, from_time: int) -> None:
        self._writer.cursor.execute(
            f"DELETE FROM {self._table} WHERE series_id = %s AND candle_time >= %s",
            (self._key, from_time),
        )


class _Added(NamedTuple):
    """New states of a series as rows, and the candle counts of the older ones that stay."""

    key: int
    keep: list[int]
    rows: list[tuple[Any, ...]]


@cache
def _saving(table: str) -> Compose[_Added]:
    """Writes the states of several series."""

    def compose(cursor: Any, entries: Sequence[_Added]) -> bytes:
        kept = listed(cursor, "(%s, %s::bigint[])", [(key, keep) for key, keep, _ in entries])
        rows = [row for each in entries for row in each.rows]
        new = listed(cursor, "(%s, %s, %s, %s)", rows)
        columns = "series_id, candle_time, candle_count, data"
        return (
            f"DELETE FROM {table} AS saved USING (VALUES ".encode()
            + kept
            + b") AS given (series_id, keep) WHERE saved.series_id = given.series_id"
            + f" AND candle_count != ALL(keep); INSERT INTO {table} ({columns}) VALUES ".encode()
            + new
        )

    return compose


def deflated(state: bytes) -> bytes:
    """A dumped state in fewer bytes."""
    return DEFLATED + zlib.compress(state)


def inflated(data: bytes) -> bytes:
    """The dumped state of a row."""
    return zlib.decompress(data[len(DEFLATED) :]) if data.startswith(DEFLATED) else data


def bounded(events: Iterable[NumberedEvent]) -> Iterator[NumberedEvent]:
    """The first events, until their payloads (texts of JSON) have PAGE_BYTES."""
    size = 0
    for each in events:
        yield each
        size += len(cast(LazyObject, each.event.payload).text)
        if size > PAGE_BYTES:
            return


def position_in(table: str, writer: PostgresWriter) -> Position | None:
    """The ledger position of the writer's series; None without a row."""
    cursor = writer.cursor
    cursor.execute(
        f"SELECT head_time, epoch, fingerprint FROM {table} WHERE series_id = %s", (writer.key,)
    )
    row = cursor.fetchone()
    return None if row is None else Position(*row)


def saved_in(states: str, checkpoints: str, series: Collection[SeriesId]) -> dict[SeriesId, Saved]:
    """Where the ledgers in a table of states are, and their newest saved states up to there."""
    names = {str(each): each for each in series}
    rows = read_rows(
        "SELECT name, held.head_time, held.epoch, fingerprint, candle_time, candle_count, data"
        f" FROM series JOIN {states} AS held ON held.series_id = series.id LEFT JOIN LATERAL ("
        f" SELECT candle_time, candle_count, data FROM {checkpoints} AS saved"
        " WHERE saved.series_id = series.id AND candle_time <= held.head_time"
        " ORDER BY candle_time DESC LIMIT 1) AS newest ON true WHERE name = ANY(%s)",
        (list(names),),
    )
    return {
        names[name]: Saved(
            Position(*position),
            None if data is None else Checkpoint(time, count, inflated(bytes(data))),
        )
        for name, *position, time, count, data in rows
    }


def newest_of(position: Position | None, checkpoints: Mapping[int, Checkpoint]) -> Saved | None:
    """The same for a ledger in memory."""
    if position is None:
        return None
    newest = MemoryCheckpoints(checkpoints).newest(position.head_time + 1)
    return Saved(position, newest)


def copy_rows(
    table: str,
    columns: str,
    rows: Iterable[Iterable[float | str | bytes | None]],
    writer: PostgresWriter,
) -> None:
    """Write many rows with COPY in the transaction of `writer`."""
    text = "\n".join(["\t".join(map(_copied, row)) for row in rows])
    writer.cursor.copy_expert(f"COPY {table} ({columns}) FROM STDIN", io.StringIO(text))


def _copied(value: float | str | bytes | None) -> str:
    """A value in the text format of COPY."""
    if isinstance(value, bytes):
        return "\\\\x" + value.hex()
    if isinstance(value, (int, float)):
        return repr(value)
    if value is None:
        return "\\N"
    if "\\" in value or "\t" in value or "\n" in value or "\r" in value:
        value = value.replace("\\", "\\\\").replace("\t", "\\t")
        return value.replace("\n", "\\n").replace("\r", "\\r")
    return value


def stored_origin(table: str, series: SeriesId) -> Checkpoint | None:
    """The ORIGIN state in a table of checkpoints."""
    rows = read_rows(
        f"SELECT candle_time, candle_count, data FROM {table}"
        f" WHERE series_id = {SERIES_KEY} AND candle_count = {ORIGIN}",
        (str(series),),
    )
    return Checkpoint(rows[0][0], rows[0][1], inflated(bytes(rows[0][2]))) if rows else None
