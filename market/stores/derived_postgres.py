"""The derived book in PostgreSQL; its statements travel with those of the candles."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from typing_extensions import override

from market.domain.derived import Booked, DerivedBook, Incomplete, Progress, Span
from market.domain.series import SeriesId
from market.domain.store import SeriesWriter
from market.stores.postgres import read_rows
from market.stores.postgres_writer import PostgresWriter, listed

RECORD = """
INSERT INTO derived_series (name, since, base_head, base_epoch, is_held) VALUES %s
ON CONFLICT (name) DO UPDATE SET
    since = excluded.since, base_head = excluded.base_head, base_epoch = excluded.base_epoch,
    is_held = true
"""
SETTLE = """
DELETE FROM incomplete_buckets AS noted USING (VALUES %s) AS span (name, start, stop)
WHERE noted.name = span.name AND candle_time >= start AND candle_time < stop
"""
NOTE = "INSERT INTO incomplete_buckets (name, candle_time, found, expected) VALUES %s"
AMONG = """
SELECT name, is_held, since, base_head, base_epoch FROM derived_series WHERE name = ANY(%s)
"""
INCOMPLETE = """
SELECT candle_time, found, expected FROM incomplete_buckets
WHERE name = %s AND candle_time BETWEEN %s AND %s ORDER BY candle_time DESC LIMIT %s
"""
NEWEST_INCOMPLETE = """
SELECT asked.name, candle_time, found, expected FROM unnest(%s::text[]) AS asked (name),
    LATERAL (
        SELECT candle_time, found, expected FROM incomplete_buckets AS noted
        WHERE noted.name = asked.name ORDER BY candle_time DESC LIMIT %s
    ) AS newest
ORDER BY asked.name, candle_time
"""


class _Record(NamedTuple):
    """What the book takes in one transaction of a derived series."""

    name: str
    progress: Progress
    spans: Sequence[Span]
    incomplete: Sequence[Incomplete]


def _record(cursor: Any, entries: Sequence[_Record]) -> bytes:
    """Record the progress of several series, and their incomplete buckets anew."""
    progress = [(each.name, *each.progress, True) for each in entries]
    spans = [(each.name, *span) for each in entries for span in each.spans]
    noted = [(each.name, *bucket) for each in entries for bucket in each.incomplete]
    return b";".join(
        statement.encode() % listed(cursor, f"({', '.join(['%s'] * len(rows[0]))})", rows)
        for statement, rows in ((RECORD, progress), (SETTLE, spans), (NOTE, noted))
        if rows
    )


class PostgresDerivedBook(DerivedBook):
    """On the tables `derived_series` and `incomplete_buckets`."""

    @override
    def progress(self, writer: SeriesWriter) -> Progress | None:
        rows = read_rows(
            "SELECT since, base_head, base_epoch FROM derived_series WHERE name = %s",
            (str(writer.series),),
        )
        return Progress(*rows[0]) if rows else None

    @override
    def record(
        self,
        writer: SeriesWriter,
        progress: Progress,
        *,
        spans: Sequence[Span],
        incomplete: Sequence[Incomplete],
    ) -> None:
        assert isinstance(writer, PostgresWriter)
        writer.mark_derived()
        writer.defer(_record, _Record(str(writer.series), progress, spans, incomplete))

    @override
    def known(self) -> dict[SeriesId, Progress]:
        rows = read_rows("SELECT name, since, base_head, base_epoch FROM derived_series", ())
        return {SeriesId.parse(name): Progress(*values) for name, *values in rows}

    @override
    def among(self, series: Collection[SeriesId]) -> dict[SeriesId, Booked]:
        rows = read_rows(AMONG, ([str(each) for each in series],))
        return {
            SeriesId.parse(name): Booked(Progress(*values), is_held)
            for name, is_held, *values in rows
        }

    @override
    def held(self) -> list[SeriesId]:
        rows = read_rows("SELECT name FROM derived_series WHERE is_held ORDER BY name", ())
        return [SeriesId.parse(name) for (name,) in rows]

    @override
    def newest_incomplete(
        self, series: Collection[SeriesId], *, limit: int
    ) -> dict[SeriesId, list[Incomplete]]:
        names = {str(each): each for each in series}
        found: dict[SeriesId, list[Incomplete]] = {}
        for name, *bucket in read_rows(NEWEST_INCOMPLETE, (list(names), limit)):
            found.setdefault(names[name], []).append(Incomplete(*bucket))
        return found

    @override
    def incomplete(self, series: SeriesId, start: int, end: int, *, limit: int) -> list[Incomplete]:
        rows = read_rows(INCOMPLETE, (str(series), start, end, limit))
        return [Incomplete(*row) for row in reversed(rows)]
