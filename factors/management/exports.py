"""What export_events and export_features share: one file or many, each whole or not at all."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, Protocol

from django.core.management.base import CommandError, OutputWrapper
from tqdm import tqdm

from factors.events import EventsChanged, LedgerBehind
from market.candle_files.arrow import ArrowMissing
from market.candle_files.names import stem_of
from market.candle_files.writers import Kind
from market.domain.series import SeriesId
from market.domain.store import SeriesDamaged
from market.domain.timeframe import MAX_TIME
from market.management.arguments import require_candles, require_database
from market.management.exports import locked, one_file, require_named, selected, target

ATTEMPTS = 3

Written = Callable[[int], object]
"""Called with how many rows were written."""


class WriteSeries(Protocol):
    """Writes the table of a series into a file."""

    def __call__(
        self, sink: IO[bytes], kind: Kind, series: SeriesId, end: int | None, written: Written
    ) -> None: ...


class Export:
    """An export of tables; `rows` is the word for their rows, in reports and names of files."""

    def __init__(
        self,
        options: Mapping[str, Any],
        write: WriteSeries,
        *,
        rows: str,
        stdout: OutputWrapper,
        stderr: OutputWrapper,
    ) -> None:
        require_named(options)
        self._options = options
        self._end = None if options["end"] == MAX_TIME else options["end"]
        self._write = write
        self._rows = rows
        self._stdout, self._stderr = stdout, stderr

    def run(self) -> None:
        """Write every file; raises CommandError."""
        try:
            if self._options["folder"] is None:
                series, path, kind = one_file(self._options)
                require_candles(series)
                self._export(path, kind, series)
            else:
                self._export_many()
        except ArrowMissing as error:
            raise CommandError(str(error)) from error

    def _export_many(self) -> None:
        """Write one file a series; a series that fails does not keep the others from theirs."""
        require_database()
        options, failed, count = self._options, 0, 0
        found = selected(options["series"], options["exchange"])
        kind, folder = Kind(options["format"] or Kind.CSV), options["folder"]
        with locked(folder, make=True):
            for series in found:
                path = folder / f"{stem_of(series)}.{self._rows}.{kind}"
                try:
                    count += self._export(path, kind, series)
                except CommandError as error:
                    failed += 1
                    self._stderr.write(f"{series}: {error}")
        self._stderr.write(f"{len(found) - failed:,} series, {count:,} {self._rows}")
        if failed:
            raise CommandError(f"{failed} of {len(found)} series were not exported")

    def _export(self, path: Path | None, kind: Kind, series: SeriesId) -> int:
        """Write one file, again when the series was revised meanwhile; return its rows."""
        for _ in range(ATTEMPTS if path is not None else 1):
            try:
                # disable=None shows the bar on a terminal only.
                with (
                    tqdm(unit=f" {self._rows}", file=sys.stderr, disable=None) as bar,
                    target(path, self._stdout) as sink,
                ):
                    count = self._written(sink, kind, series, bar)
            except EventsChanged:
                continue
            except LedgerBehind as error:
                raise CommandError(
                    "ledger_out_of_sync: the ledger has not reached these candles:"
                    f" manage.py rebuild {series}"
                ) from error
            except SeriesDamaged as error:
                raise CommandError(str(error)) from error
            self._stderr.write(f"{series}: {count:,} {self._rows}")
            return count
        raise CommandError("events_changed: the series was revised during the export: try again")

    def _written(self, sink: IO[bytes], kind: Kind, series: SeriesId, bar: Any) -> int:
        count = 0

        def written(rows: int) -> None:
            nonlocal count
            count += rows
            bar.update(rows)

        self._write(sink, kind, series, self._end, written)
        return count


def names_given(options: list[str] | None, what: str, known: Callable[[str], bool]) -> Any:
    """The names of an option that may be repeated, each once; None without it.

    Raises CommandError for a name that is not known.
    """
    if options is None:
        return None
    names = list(dict.fromkeys(name.strip() for text in options for name in text.split(",")))
    for name in names:
        if not known(name):
            raise CommandError(f"unknown_{what}: {name}")
    return names
