"""The overlay ledger in PostgreSQL: one statement for what a batch drew, COPY for bulk.

As the candle store does, it goes to the driver's own cursor on Django's connection.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import chain
from typing import Any, NamedTuple

import orjson
from typing_extensions import override

from factors.domain.checkpoints import Checkpoint
from factors.domain.ledger import Position, Saved
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
from market.stores.postgres_writer import REQUIRE, PostgresWriter, listed
from overlays.domain.instruction import POINT, Change, InstructionVersion, span_of
from overlays.domain.ledger import LedgerState, OverlayLedger, OverlayLedgerWriter
from overlays.domain.versions import NEVER, VersionReader
from overlays.stores.forms import dense_version, version

# From this many versions on, COPY is faster than rows in the statement.
COPY_FROM_ROWS = 200

VERSION = "version_id, instruction_id, kind, visible_time, definition, data, starts, ends"
ROW = "instruction_id, kind, visible_time, until, starts, ends, definition, data"
POINT_ROW = "instruction_id, visible_time, value"

# An instruction may have a version for every few candles of its series: searched from the newest
# on, so that the first one found is the current one.
SUPERSEDE = f"""
UPDATE overlay_versions AS old SET until = newest.time
FROM (VALUES %s) AS given (key, name, time) CROSS JOIN LATERAL (
    SELECT series_id, version_id, given.time FROM overlay_versions
    WHERE series_id = given.key AND hashtext(instruction_id) = hashtext(given.name)
        AND instruction_id = given.name AND until = {NEVER}
    ORDER BY visible_time DESC LIMIT 1
) AS newest
WHERE old.series_id = newest.series_id AND old.version_id = newest.version_id
"""
WRITE = f"""
INSERT INTO overlay_versions (version_id, series_id, {ROW})
SELECT nextval('overlay_ids'), series_id, {ROW}
FROM (VALUES %s) AS given (position, series_id, {ROW}, value) ORDER BY position
"""
# Versions and points share one sequence, and are numbered in their order.
WRITE_BOTH = f"""
WITH numbered AS MATERIALIZED (
    SELECT nextval('overlay_ids') AS version_id, series_id, {ROW}, value
    FROM (VALUES %s) AS given (position, series_id, {ROW}, value) ORDER BY position
), points AS (
    INSERT INTO overlay_points (version_id, series_id, {POINT_ROW})
    SELECT version_id, series_id, {POINT_ROW} FROM numbered WHERE value IS NOT NULL
)
INSERT INTO overlay_versions (version_id, series_id, {ROW})
SELECT version_id, series_id, {ROW} FROM numbered WHERE value IS NULL
"""
ENTRY = "(%s, %s, %s, %s, %s, %s, %s::bigint, %s::bigint, %s, %s::bytea, %s::float8)"
# A migration makes the function.
MOVE_ONE = b"SELECT move_overlay_ledger(%s, %s, %s, %s, %s, %s, %s)"
MOVE = """
UPDATE overlay_state AS held SET head_time = given.head_time, epoch = given.epoch,
    fingerprint = given.fingerprint, tick_id = nextval('overlay_ids')
FROM (VALUES %s) AS given (series_id, head_time, epoch, fingerprint, old_time, old_epoch, old_print)
WHERE held.series_id = given.series_id
    AND (held.head_time, held.epoch, held.fingerprint) = (old_time, old_epoch, old_print)
RETURNING 1
"""
BEGIN = """
INSERT INTO overlay_state (series_id, head_time, epoch, fingerprint, tick_id)
SELECT *, nextval('overlay_ids') FROM (VALUES %s) AS given ON CONFLICT DO NOTHING RETURNING 1
"""

TAKE_BACK = f"""
WITH gone AS (
    DELETE FROM overlay_versions WHERE series_id = %(key)s AND visible_time >= %(from)s
    RETURNING instruction_id
), cut AS (
    DELETE FROM overlay_points WHERE series_id = %(key)s AND visible_time >= %(from)s
    RETURNING instruction_id
), newest AS (
    UPDATE overlay_versions AS old
    SET until = CASE WHEN starts IS NULL THEN {NEVER} ELSE %(from)s END
    FROM (SELECT instruction_id FROM gone UNION SELECT instruction_id FROM cut) AS names
    WHERE old.series_id = %(key)s
        AND hashtext(old.instruction_id) = hashtext(names.instruction_id)
        AND old.instruction_id = names.instruction_id
        AND old.visible_time < %(from)s AND old.until >= %(from)s
    RETURNING old.*
)
INSERT INTO overlay_versions (version_id, series_id, {ROW})
SELECT nextval('overlay_ids'), series_id, instruction_id, kind, %(from)s, {NEVER}, starts, ends,
    definition, data
FROM (SELECT * FROM newest WHERE starts IS NOT NULL ORDER BY version_id) AS again;
UPDATE overlay_state SET takebacks = takebacks + 1 WHERE series_id = %(key)s
"""

# Drawings end within the window, or have no end and were the newest of their instruction.
NEWEST = f"""
WITH series AS (SELECT id AS key FROM series WHERE name = %(name)s)
SELECT {VERSION} FROM overlay_versions, series
WHERE series_id = key AND ends BETWEEN %(cutoff)s AND %(time)s AND until > %(time)s
    AND visible_time <= %(time)s
UNION ALL
SELECT {VERSION} FROM overlay_versions, series
WHERE int8range((series_id::bigint << 40) + visible_time, (series_id::bigint << 40) + until)
        @> (key::bigint << 40) + %(time)s
    AND ends IS NULL AND starts IS NOT NULL AND starts <= %(time)s
"""


TABLES = ("overlay_versions", "overlay_points")
# In the order of their numbers.
AFTER = f"""
SELECT {VERSION}, NULL::float8 FROM overlay_versions
WHERE series_id = {SERIES_KEY} AND version_id > %s AND version_id <= %s
UNION ALL
SELECT version_id, instruction_id, '{POINT}', visible_time, NULL, NULL, NULL, NULL, value
FROM overlay_points
WHERE series_id = {SERIES_KEY} AND version_id > %s AND version_id <= %s
ORDER BY version_id LIMIT %s
"""
BEHIND = " UNION ALL ".join(
    f"SELECT 1 FROM {table} WHERE series_id = {SERIES_KEY} AND version_id > %s AND version_id <= %s"
    for table in TABLES
)
COUNT = f"SELECT count(*) FROM ({BEHIND} LIMIT %s) AS behind"
GREATEST = " UNION ALL ".join(
    f"(SELECT version_id FROM {table} WHERE series_id = {SERIES_KEY} AND visible_time <= %s"
    " ORDER BY visible_time DESC, version_id DESC LIMIT 1)"
    for table in TABLES
)
POINTS_BETWEEN = f"""
SELECT version_id, instruction_id, '{POINT}', visible_time, NULL, NULL::bytea, NULL::bigint,
    NULL::bigint, value
FROM overlay_points
WHERE series_id = {SERIES_KEY} AND visible_time BETWEEN %s AND %s ORDER BY visible_time, version_id
"""


class Row(NamedTuple):
    """A version or point as its table holds it, all but its number; a point has a value."""

    instruction_id: str
    kind: str
    visible_time: int
    until: int
    starts: int | None
    ends: int | None
    definition: str
    data: bytes | None
    value: float | None = None

    @property
    def as_point(self) -> tuple[str, int, float | None]:
        """The columns of a point."""
        return self.instruction_id, self.visible_time, self.value


def rows_of(entries: Sequence[Sequence[Change]], *, dense: bool) -> list[Row]:
    """Changes as rows; of two to one instruction the first ends where the second begins."""
    until: dict[str, int] = {}
    rows: list[Row] = []
    for change in chain.from_iterable(map(reversed, reversed(entries))):
        if change.kind == POINT:
            name, kind, time, point = change
            rows.append(Row(name, kind, time, NEVER, None, None, "", None, point["value"]))
            continue
        span = span_of(change.definition)
        starts, ends = (None, None) if span is None else span
        name = change.instruction_id
        times = (change.visible_time, until.get(name, NEVER), starts, ends)
        text = orjson.dumps(change.definition).decode()
        if dense:
            nothing, _, data = dense_version(name, change.kind, text, starts, ends)
            rows.append(Row(name, nothing, *times, nothing, data))
        else:
            rows.append(Row(name, change.kind, *times, text, None))
        until[name] = change.visible_time
    rows.reverse()
    return rows


class Appended(NamedTuple):
    """What an append adds to the ledger of one series."""

    key: int
    expected: Position | None
    after: Position
    rows: Sequence[Row]


def _append(cursor: Any, entries: Sequence[Appended]) -> bytes:
    """Write the entries of several series; each ledger must be where its entry expects it."""
    added = [(each.key, row) for each in entries for row in each.rows]
    return b";".join([*_supersede(cursor, added), *_write(cursor, added), *_move(cursor, entries)])


def _supersede(cursor: Any, rows: Sequence[tuple[int, Row]]) -> list[bytes]:
    """End the current versions of the instructions that the rows continue."""
    first: dict[tuple[int, str], int] = {}
    for key, row in rows:
        if row.value is None:
            first.setdefault((key, row.instruction_id), row.visible_time)
    if not first:
        return []
    given = listed(cursor, "(%s, %s, %s)", [(*name, time) for name, time in first.items()])
    return [SUPERSEDE.encode() % given]


def _write(cursor: Any, rows: Sequence[tuple[int, Row]]) -> list[bytes]:
    if not rows:
        return []
    entries = [(position, key, *row) for position, (key, row) in enumerate(rows)]
    statement = WRITE if all(row.value is None for _, row in rows) else WRITE_BOTH
    return [statement.encode() % listed(cursor, ENTRY, entries)]


def _move(cursor: Any, entries: Sequence[Appended]) -> list[bytes]:
    """Move the ledgers, behind all their versions; fails unless all are as expected."""
    new = [(key, *after) for key, expected, after, _ in entries if expected is None]
    known = [(key, *after, *expected) for key, expected, after, _ in entries if expected]
    if len(known) == 1 and not new:
        return [cursor.mogrify(MOVE_ONE, known[0])]
    return [
        f"WITH moved AS ({statement}) SELECT {REQUIRE % len(places)} FROM moved".encode()
        % listed(cursor, f"({', '.join(['%s'] * len(places[0]))})", places)
        for statement, places in ((MOVE, known), (BEGIN, new))
        if places
    ]


class PostgresOverlayWriter(OverlayLedgerWriter):
    """The ledger of one series in the transaction of `writer`."""

    def __init__(self, writer: PostgresWriter, *, dense: bool) -> None:
        self._key = writer.key
        self._writer = writer
        self._dense = dense
        self.checkpoints: PostgresCheckpoints = PostgresCheckpoints(
            writer, "overlay_checkpoints", dense=dense
        )

    @override
    def position(self) -> Position | None:
        return position_in("overlay_state", self._writer)

    @override
    def append(
        self, expected: Position | None, after: Position, entries: Sequence[Sequence[Change]]
    ) -> bool:
        if self.position() != expected:
            return False
        added = Appended(self._key, expected, after, rows_of(entries, dense=self._dense))
        cursor = self._writer.cursor
        if len(added.rows) < COPY_FROM_ROWS:
            cursor.execute(_append(cursor, [added]))
            return True
        # Before the copies are written, which must not be superseded.
        for statement in _supersede(cursor, [(self._key, row) for row in added.rows]):
            cursor.execute(statement)
        self._copy(added.rows)
        cursor.execute(b";".join(_move(cursor, [added])))
        return True

    @override
    def append_late(
        self, expected: Position | None, after: Position, entries: Sequence[Sequence[Change]]
    ) -> None:
        rows = rows_of(entries, dense=self._dense)
        if len(rows) < COPY_FROM_ROWS:
            self._writer.defer(_append, Appended(self._key, expected, after, rows))
        else:
            super().append_late(expected, after, entries)

    @override
    def truncate(self, from_time: int) -> None:
        self._writer.cursor.execute(TAKE_BACK, {"key": self._key, "from": from_time})
        self.checkpoints.truncate(from_time)

    def _copy(self, rows: Sequence[Row]) -> None:
        cursor = self._writer.cursor
        cursor.execute("SELECT nextval('overlay_ids') FROM generate_series(1, %s)", (len(rows),))
        versions: list[tuple[Any, ...]] = []
        points: list[tuple[Any, ...]] = []
        for (number,), row in zip(cursor.fetchall(), rows, strict=True):
            if row.value is None:
                versions.append((number, self._key, *row[:-1]))
            else:
                points.append((number, self._key, *row.as_point))
        copy_rows("overlay_versions", f"version_id, series_id, {ROW}", versions, self._writer)
        copy_rows("overlay_points", f"version_id, series_id, {POINT_ROW}", points, self._writer)


class PostgresVersions(VersionReader):
    """The versions of one series, read as they are at each call."""

    def __init__(self, series: SeriesId) -> None:
        self._name = str(series)

    @override
    def after(self, cursor: int, to_time: int, *, limit: int) -> list[InstructionVersion]:
        span = self._name, cursor, self.greatest_id(to_time)
        return _versions(AFTER, (*span, *span, limit))

    @override
    def count_after(self, cursor: int, to_time: int, *, limit: int) -> int:
        span = self._name, cursor, self.greatest_id(to_time)
        ((count,),) = read_rows(COUNT, (*span, *span, limit))
        return int(count)

    @override
    def newest(self, to_time: int, *, cutoff: int) -> list[InstructionVersion]:
        values = {"name": self._name, "time": to_time, "cutoff": cutoff}
        return _versions(NEWEST, values)

    @override
    def newest_of(self, instruction_id: str, to_time: int) -> InstructionVersion | None:
        found = _versions(
            f"SELECT {VERSION} FROM overlay_versions WHERE series_id = {SERIES_KEY}"
            " AND hashtext(instruction_id) = hashtext(%s) AND instruction_id = %s"
            " AND visible_time <= %s ORDER BY visible_time DESC, version_id DESC LIMIT 1",
            (self._name, instruction_id, instruction_id, to_time),
        )
        return found[0] if found else None

    @override
    def points(self, to_time: int, *, cutoff: int) -> list[InstructionVersion]:
        return _versions(POINTS_BETWEEN, (self._name, cutoff, to_time))

    @override
    def greatest_id(self, to_time: int) -> int:
        found = read_rows(GREATEST, (self._name, to_time, self._name, to_time))
        return max((int(number) for (number,) in found), default=0)


class PostgresOverlayLedger(OverlayLedger):
    """The overlay ledgers on the tables `overlay_*`; new rows are `dense`, or not."""

    def __init__(self, *, dense: bool = False) -> None:
        self._dense = dense

    @override
    def writing(self, writer: SeriesWriter) -> PostgresOverlayWriter:
        assert isinstance(writer, PostgresWriter)
        return PostgresOverlayWriter(writer, dense=self._dense)

    @override
    def state(self, series: SeriesId) -> LedgerState | None:
        rows = read_rows(
            "SELECT head_time, epoch, fingerprint, tick_id, takebacks FROM overlay_state"
            f" WHERE series_id = {SERIES_KEY}",
            (str(series),),
        )
        return LedgerState(Position(*rows[0][:3]), *rows[0][3:]) if rows else None

    @override
    def saved(self, series: Collection[SeriesId]) -> dict[SeriesId, Saved]:
        return saved_in("overlay_state", "overlay_checkpoints", series)

    @override
    def origin(self, series: SeriesId) -> Checkpoint | None:
        return stored_origin("overlay_checkpoints", series)

    @override
    def versions(self, series: SeriesId) -> PostgresVersions:
        return PostgresVersions(series)


def _versions(statement: str, values: Any) -> list[InstructionVersion]:
    """The rows of a statement; those of points have a value instead of a definition."""
    return [
        version(number, name, kind, time, *stored)
        if stored[0] is not None
        else InstructionVersion(number, name, kind, time, {"value": stored[-1]})
        for number, name, kind, time, *stored in read_rows(statement, values)
    ]
