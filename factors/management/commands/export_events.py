"""Exports the factor events of series: as CSV, Parquet, Arrow or Feather."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Collection
from functools import partial
from typing import IO, Any, cast

from django.core.management.base import BaseCommand

from factors.domain.ledger import NumberedEvent
from factors.events import is_known, pages
from factors.lazy_json import LazyObject
from factors.management.exports import Export, Written, names_given
from factors.table_files import Column, Row, Type, writing_table
from market.candle_files.writers import Kind
from market.domain.series import SeriesId
from market.management.exports import add_export_arguments

COLUMNS = (
    Column("candle_time", Type.INTEGER),
    Column("id", Type.INTEGER),
    Column("factor", Type.TEXT),
    Column("kind", Type.TEXT),
    Column("event_key", Type.TEXT),
    Column("payload", Type.TEXT),
)


class Command(BaseCommand):
    """Pages through the ledger, so that a long one needs little memory."""

    help = (
        "Write the factor events of a series, one row each, as GET /api/factor/events has them; "
        "`payload` is JSON. Many series go into a folder. Parquet, Arrow and Feather need the "
        "extra of requirements-arrow.lock."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        add_export_arguments(parser)
        parser.add_argument(
            "--kinds",
            action="append",
            help="kinds of events, repeated or separated by commas (default: all)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Export, and report how many events on standard error."""
        kinds = names_given(options["kinds"], "kind", is_known)
        write = partial(_write, options["start"], kinds)
        Export(options, write, rows="events", stdout=self.stdout, stderr=self.stderr).run()


def _write(
    start: int,
    kinds: Collection[str] | None,
    sink: IO[bytes],
    kind: Kind,
    series: SeriesId,
    end: int | None,
    written: Written,
) -> None:
    with writing_table(kind, sink, series, COLUMNS) as writer:
        for page in pages(series, start=start, end=end, kinds=kinds):
            writer.write([_row(each) for each in page.events])
            written(len(page.events))


def _row(numbered: NumberedEvent) -> Row:
    number, event = numbered
    payload = cast(LazyObject, event.payload).text
    return event.candle_time, number, event.factor, event.kind, event.event_key, payload
