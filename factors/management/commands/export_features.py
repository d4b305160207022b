"""Exports the feature columns of series: as CSV, Parquet, Arrow or Feather."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from functools import partial
from typing import IO, Any

from django.core.management.base import BaseCommand, CommandError

from factors.domain.features import Value
from factors.events import EventsChanged
from factors.features import FeaturesPage, feature_pages, is_known_column
from factors.management.exports import Export, Written, names_given
from factors.table_files import Column, Type, writing_table
from market.candle_files.writers import Kind
from market.domain.series import SeriesId
from market.management.exports import add_export_arguments


class Command(BaseCommand):
    """Reads the range twice: a file has all its columns from the first row on."""

    help = (
        "Write the feature columns of a series, one row a candle, as GET /api/factor/features has "
        "them. Many series go into a folder. Parquet, Arrow and Feather need the extra of "
        "requirements-arrow.lock."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        add_export_arguments(parser)
        parser.add_argument(
            "--columns",
            action="append",
            help=(
                "columns, repeated or separated by commas (default: those with a value in the "
                "range, in the order of their first appearance)"
            ),
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Export, and report how many rows on standard error."""
        columns = names_given(options["columns"], "column", is_known_column)
        write = partial(_write, options["start"], columns)
        Export(options, write, rows="features", stdout=self.stdout, stderr=self.stderr).run()


def _write(
    start: int,
    names: Sequence[str] | None,
    sink: IO[bytes],
    kind: Kind,
    series: SeriesId,
    end: int | None,
    written: Written,
) -> None:
    types: dict[str, Type] = {}
    first = last = None
    for page in feature_pages(series, start=start, end=end, columns=names):
        _require_same(first, page)
        first = first or page
        last = page.head_time
        _note_types(types, page)
    if last is None or first is None or not first.table.candle_time:
        raise CommandError("no candles are stored in this range")
    columns = [Column(name, types.get(name, Type.FLOAT), True) for name in names or types]
    with writing_table(kind, sink, series, [Column("candle_time", Type.INTEGER), *columns]) as to:
        # Not beyond what was read before: candles that came meanwhile may have other columns.
        until = last if end is None else min(last, end)
        found = [column.name for column in columns]
        for page in feature_pages(series, start=start, end=until, columns=found):
            _require_same(first, page)
            values = [_typed(page.table.columns[name], type_) for name, type_, _ in columns]
            to.write(list(zip(page.table.candle_time, *values, strict=True)))
            written(len(page.table.candle_time))


def _require_same(first: FeaturesPage | None, page: FeaturesPage) -> None:
    """Raise EventsChanged for a page of another past than the first one."""
    if first is not None and first.past != page.past:
        raise EventsChanged


def _note_types(types: dict[str, Type], page: FeaturesPage) -> None:
    """Note the type that fits all values of each column, and columns in order of appearance."""
    for name, values in page.table.columns.items():
        for value in values:
            if value is not None:
                types[name] = _wider(types.get(name), value)


def _wider(known: Type | None, value: Value) -> Type:
    found = Type.TEXT if isinstance(value, str) else Type.FLOAT
    if isinstance(value, int):
        found = Type.INTEGER
    return found if known in (None, found) else Type.TEXT


def _typed(values: Sequence[Value | None], type_: Type) -> Iterator[Value | None]:
    """The values of a column; numbers as texts where a column has both."""
    if type_ is not Type.TEXT:
        return iter(values)
    return (None if value is None else str(value) for value in values)
