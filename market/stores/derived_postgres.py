"""The derived book in PostgreSQL; its statements travel with those of the candles."""

from __future__ import annotations

from collections.abc import Sequence

from typing_extensions import override

from market.domain.derived import DerivedBook, Incomplete, Progress, Span
from market.domain.series import SeriesId
from market.domain.store import SeriesWriter
from market.stores.postgres import PostgresWriter, read_rows

RECORD = """
INSERT INTO derived_series (name, since, base_head, base_epoch) VALUES (%s, %s, %s, %s)
ON CONFLICT (name) DO UPDATE SET
    since = excluded.since, base_head = excluded.base_head, base_epoch = excluded.base_epoch
"""
SETTLE = "DELETE FROM incomplete_buckets WHERE name = %s AND candle_time >= %s AND candle_time < %s"
NOTE = """
INSERT INTO incomplete_buckets (name, candle_time, found, expected)
SELECT %s, * FROM unnest(%s::bigint[], %s::int[], %s::int[])
"""
INCOMPLETE = """
SELECT candle_time, found, expected FROM incomplete_buckets
WHERE name = %s AND candle_time BETWEEN %s AND %s ORDER BY candle_time DESC LIMIT %s
"""


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
        name = str(writer.series)
        writer.defer(writer.filled(RECORD, (name, *progress)))
        for span in spans:
            writer.defer(writer.filled(SETTLE, (name, *span)))
        if incomplete:
            columns = [list(column) for column in zip(*incomplete, strict=True)]
            writer.defer(writer.filled(NOTE, (name, *columns)))

    @override
    def known(self) -> dict[SeriesId, Progress]:
        rows = read_rows("SELECT name, since, base_head, base_epoch FROM derived_series", ())
        return {SeriesId.parse(name): Progress(*values) for name, *values in rows}

    @override
    def incomplete(self, series: SeriesId, start: int, end: int, *, limit: int) -> list[Incomplete]:
        rows = read_rows(INCOMPLETE, (str(series), start, end, limit))
        return [Incomplete(*row) for row in reversed(rows)]
