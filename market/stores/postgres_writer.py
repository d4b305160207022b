"""Writing in a PostgreSQL transaction: what several series write is merged into few statements.

What needs no answer is deferred to the end of the transaction. There the entries of all its series
for one kind of write become one statement, and all statements one round trip.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any, NamedTuple, TypeVar

from psycopg2.errors import DivisionByZero, UniqueViolation
from typing_extensions import override

from market.domain.candle import Candle
from market.domain.series import SeriesId
from market.domain.store import Fence, Outpaced, SeriesState, SeriesWriter, Upserted
from market.stores.callbacks import Callbacks
from market.stores.postgres_series import SeriesRow, create_rows

# From this many rows on, COPY into a temporary table beats an array of rows in the statement.
COPY_FROM_ROWS = 100

COLUMNS = "candle_time, open, high, low, close, volume"

SET_VALUES = """
ON CONFLICT (series_id, candle_time) DO UPDATE SET
    open = excluded.open, high = excluded.high, low = excluded.low,
    close = excluded.close, volume = excluded.volume
"""
WRITE = f"""
INSERT INTO candles AS stored (series_id, {COLUMNS})
SELECT series_id, {COLUMNS} FROM (%s) AS given (series_id, {COLUMNS})
{SET_VALUES}
WHERE (stored.open, stored.high, stored.low, stored.close, stored.volume)
    IS DISTINCT FROM
    (excluded.open, excluded.high, excluded.low, excluded.close, excluded.volume)
"""

# Beyond the head there is nothing to compare with, and less to plan.
WRITE_FRESH = f"INSERT INTO candles (series_id, {COLUMNS}) VALUES %s {SET_VALUES}"

# One candle and the head. A migration makes the function.
APPEND_ONE = "SELECT append_candle(%d, %d, %r, %r, %r, %r, %r)"

HEAD = "UPDATE series SET head_time = %d WHERE id = %d"
HEADS = """
UPDATE series SET head_time = given.head_time FROM (VALUES %s) AS given (id, head_time)
WHERE series.id = given.id
"""

# Fails unless that many rows are found, by dividing by zero: plain SQL has no other way.
REQUIRE = "1 / (count(*) = %d)::int"

WRITE_AND_RETURN = f"""
WITH changed AS ({WRITE} RETURNING candle_time, (xmax = 0) AS is_new)
SELECT array_agg(candle_time ORDER BY candle_time) FILTER (WHERE is_new),
       array_agg(candle_time ORDER BY candle_time) FILTER (WHERE NOT is_new)
FROM changed
"""

# TimescaleDB decompresses up to a thousand rows for each row written or deleted, and by default not
# more than 100,000 in a statement. A larger batch shall be slow rather than fail.
UNLIMITED = "SET LOCAL timescaledb.max_tuples_decompressed_per_dml_transaction = 0"

# No row is there to update for candles beyond the head: the look for one takes
# an upsert half of its time.
APPEND = f"COPY candles (series_id, {COLUMNS}) FROM STDIN WITH (FORMAT binary)"
COPY_BEGIN = b"PGCOPY\n\xff\r\n\0" + bytes(8)
COPY_END = b"\xff\xff"
# The number of columns, then each with its length before it: 8 bytes, a key 4.
ROW = struct.Struct(">hiqididididid")
KEYED_ROW = struct.Struct(">hiiiqididididid")

LOAD = f"COPY candle_load ({COLUMNS}) FROM STDIN WITH (FORMAT binary)"
LOAD_TABLE = f"""
{UNLIMITED};
CREATE TEMPORARY TABLE IF NOT EXISTS candle_load (
    candle_time bigint, open float8, high float8, low float8, close float8, volume float8
) ON COMMIT DELETE ROWS;
TRUNCATE candle_load
"""

Entry = TypeVar("Entry")
Compose = Callable[[Any, Sequence[Entry]], bytes]
"""Makes the statements that write the entries of several series, without results.

It gets a cursor for filling in values. A statement that must find `n` rows selects `REQUIRE % n`:
otherwise the transaction fails with Outpaced.
"""


def listed(cursor: Any, template: str, rows: Iterable[Sequence[Any]]) -> bytes:
    """Rows for VALUES: the template of one, filled in for each."""
    values = list(rows)
    text: bytes = cursor.mogrify(",".join([template] * len(values)), list(chain(*values)))
    return text


class _Fresh(NamedTuple):
    """Candles beyond the head of a series."""

    key: int
    candles: Sequence[Candle]


def _write_fresh(cursor: Any, entries: Sequence[_Fresh]) -> bytes:
    """Insert candles and move heads."""
    if len(entries) == 1 and len(entries[0].candles) == 1:
        ((key, (candle,)),) = entries
        return (APPEND_ONE % (key, *candle)).encode()
    heads = [(key, candles[-1].candle_time) for key, candles in entries]
    if len(heads) == 1:
        ((key, time),) = heads
        move = HEAD % (time, key)
    else:
        # The first row decides the columns' types.
        move = HEADS % ",".join("(%d,%d::bigint)" % head for head in heads)  # noqa: UP031
    given = ",".join(_values(*entry) for entry in entries)
    return f"{WRITE_FRESH % given};{move}".encode()


def _mark_derived(cursor: Any, entries: Sequence[str]) -> bytes:
    """Mark the rows of series, of those that have one."""
    text: bytes = cursor.mogrify(
        "UPDATE series SET is_derived = true WHERE name = ANY(%s)", (list(entries),)
    )
    return text


def _values(key: int, candles: Sequence[Candle]) -> str:
    # Only int and float objects are formatted into this text, in their shortest exact form.
    return ",".join(
        "(%d,%d::bigint,%r::float8,%r::float8,%r::float8,%r::float8,%r::float8)" % (key, *candle)  # noqa: UP031
        for candle in candles
    )


def _copied(rows: Iterable[bytes]) -> io.BytesIO:
    return io.BytesIO(b"".join([COPY_BEGIN, *rows, COPY_END]))


class PostgresWriter(Callbacks, SeriesWriter):
    """One series in a PostgreSQL transaction that holds its advisory lock.

    With `opening`, statements that begin the transaction and lock the series, it holds the lock
    from its first statement on: they are sent in front of that.
    """

    def __init__(
        self,
        series: SeriesId,
        row: SeriesRow,
        cursor: Any,
        *,
        fence: Fence | None,
        opening: bytes = b"",
    ) -> None:
        super().__init__()
        self.series = series
        self.row = row
        self.state = self._reached = row.state
        self.is_derived = row.is_derived
        self._row_key = row.key
        self._fence = 0 if fence is None else fence.number
        self._cursor = cursor
        self._opening = opening
        self._deferred: dict[Compose[Any], Any] = {}
        self._newest = self.state.head

    @property
    def key(self) -> int:
        """The key of the series' row, which is created at first use: with the first candle."""
        if self._row_key is None:
            self._row_key = self._create_row()
        return self._row_key

    @property
    def left(self) -> SeriesRow | None:
        """The row as the transaction leaves it; None if the next writer has to read it."""
        if self._row_key is None or self.is_derived:
            return None
        return self.row._replace(key=self._row_key, state=self._reached)

    @property
    def cursor(self) -> Any:
        """The transaction's cursor, after executing what this series has deferred."""
        self.flush()
        self.open()
        return self._cursor

    def open(self) -> None:
        """Begin the transaction and lock the series, if that is still to be done; Outpaced."""
        if self._opening:
            execute(self._cursor, self._take_opening())

    def defer(self, compose: Compose[Entry], entry: Entry) -> None:
        """Write an entry at the end of the transaction, with those of other series."""
        if compose in self._deferred:
            self.flush()
        self._deferred[compose] = entry

    def flush(self, commit: bytes = b"") -> None:
        """Execute what was deferred, and commit with it; raises Outpaced."""
        if self._deferred:
            flush(self._cursor, [self], commit, opening=self._take_opening())

    def _take_opening(self) -> bytes:
        taken, self._opening = self._opening, b""
        return taken

    def take_deferred(self) -> dict[Compose[Any], Any]:
        """Remove and return what was deferred."""
        taken, self._deferred = self._deferred, {}
        return taken

    @override
    def upsert(self, candles: list[Candle]) -> Upserted:
        if not candles:
            return Upserted([], [], 0)
        key, is_new = self.key, self._newest is None or candles[0].candle_time > self._newest
        if is_new and len(candles) < COPY_FROM_ROWS:
            # All rows are new, so nothing has to be returned row by row, and a live candle and the
            # new head travel in one round trip with what the stages write.
            self.defer(_write_fresh, _Fresh(key, candles))
        elif is_new:
            if not self._is_appended(key, candles):
                self.cursor.execute(WRITE % self._loaded(candles))
            self.cursor.execute(HEAD % (candles[-1].candle_time, key))
        else:
            given = (
                f"VALUES {_values(key, candles)}"
                if len(candles) < COPY_FROM_ROWS
                else self._loaded(candles)
            )
            self.cursor.execute(WRITE_AND_RETURN % given)
            inserted, revised = (times or [] for times in self.cursor.fetchone())
            return Upserted(inserted, revised, len(candles) - len(inserted) - len(revised))
        self._newest = candles[-1].candle_time
        self._reached = self._reached._replace(head=self._newest)
        return Upserted([candle.candle_time for candle in candles], [], 0)

    @override
    def advance(self, head: int | None, *, revised_from: int | None) -> SeriesState:
        epoch = self.state.epoch
        if revised_from is None and head == self._reached.head:
            return self._reached
        if revised_from is not None:
            epoch += 1
            self.cursor.execute(
                "INSERT INTO revisions (series_id, epoch, from_time) VALUES (%s, %s, %s)",
                (self.key, epoch, revised_from),
            )
        self.cursor.execute(
            "UPDATE series SET head_time = %s, epoch = %s WHERE id = %s", (head, epoch, self.key)
        )
        self._reached = self.state._replace(head=head, epoch=epoch)
        return self._reached

    @override
    def mark_derived(self) -> None:
        if not self.is_derived:
            self.defer(_mark_derived, str(self.series))

    def _create_row(self) -> int:
        ((_, key, self.is_derived),) = create_rows(self._cursor, [(self.series, self._fence)])
        return key

    def _is_appended(self, key: int, candles: Sequence[Candle]) -> bool:
        """Copy candles beyond the head into the table; False if one is there all the same."""
        # The fastest way that there is without compiled code; this loop is much of an import.
        pack = KEYED_ROW.pack
        rows = [
            pack(7, 4, key, 8, time, 8, open_, 8, high, 8, low, 8, close, 8, volume)
            for time, open_, high, low, close, volume in candles
        ]
        self.cursor.execute(f"{UNLIMITED}; SAVEPOINT append")
        try:
            self.cursor.copy_expert(APPEND, _copied(rows))
        except UniqueViolation:
            # Only a change by hand leaves candles beyond the head.
            self.cursor.execute("ROLLBACK TO SAVEPOINT append; RELEASE SAVEPOINT append")
            return False
        self.cursor.execute("RELEASE SAVEPOINT append")
        return True

    def _loaded(self, candles: Sequence[Candle]) -> str:
        """Copy candles into a temporary table; return the query for them."""
        self.cursor.execute(LOAD_TABLE)
        pack = ROW.pack
        rows = [
            pack(6, 8, time, 8, open_, 8, high, 8, low, 8, close, 8, volume)
            for time, open_, high, low, close, volume in candles
        ]
        self.cursor.copy_expert(LOAD, _copied(rows))
        return f"SELECT {self.key}, {COLUMNS} FROM candle_load"


def flush(
    cursor: Any, writers: Iterable[PostgresWriter], commit: bytes = b"", *, opening: bytes = b""
) -> None:
    """Execute what the series have deferred, in one round trip; raises Outpaced.

    `opening` is sent in front and `commit` behind; without anything deferred nothing is sent.
    """
    entries: dict[Compose[Any], list[Any]] = {}
    for writer in writers:
        for compose, entry in writer.take_deferred().items():
            entries.setdefault(compose, []).append(entry)
    if not entries:
        return
    written = b";".join([compose(cursor, each) for compose, each in entries.items()])
    execute(cursor, opening + written + commit)


def execute(cursor: Any, text: bytes) -> None:
    """Execute statements of which one divides by zero where another writer was faster: Outpaced."""
    try:
        cursor.execute(text)
    except DivisionByZero:
        raise Outpaced from None
