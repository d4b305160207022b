"""What commands that export have in common: which series, into which files, in which format."""

from __future__ import annotations

import os
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, Any, cast

from django.core.management.base import CommandError

from market.candle_files.writers import Kind
from market.domain.series import SeriesId
from market.domain.timeframe import MAX_TIME
from market.files import try_lock, whole_file
from market.management.arguments import require_candles, series_argument, time_argument
from market.stores.postgres import stored_series

WILDCARDS = frozenset("*?[")


def add_export_arguments(parser: ArgumentParser) -> None:
    """Declare the options: series, target, format and range."""
    parser.add_argument(
        "series",
        type=series_or_pattern,
        nargs="*",
        help="exchange:market:symbol:timeframe, or a pattern such as 'binance:futures:*:1m'",
    )
    parser.add_argument(
        "--exchange", action="append", default=[], help="every stored series of an exchange"
    )
    into = parser.add_mutually_exclusive_group()
    into.add_argument(
        "--output",
        type=Path,
        help="the file to write, compressed if its name ends in .gz (default: standard output)",
    )
    into.add_argument(
        "--folder", type=Path, help="write one file a series into this folder, named after it"
    )
    parser.add_argument(
        "--format",
        choices=[kind.value for kind in Kind],
        help="default: by the name of --output, or csv",
    )
    parser.add_argument(
        "--from",
        dest="start",
        type=time_argument,
        default=0,
        help="first open time, Unix seconds or ISO 8601 in UTC",
    )
    parser.add_argument(
        "--to", dest="end", type=time_argument, default=MAX_TIME, help="last open time"
    )


def require_named(options: Mapping[str, Any]) -> None:
    """Raise CommandError unless the command line names a series, a pattern or an exchange."""
    if not options["series"] and not options["exchange"]:
        raise CommandError("name a series, a pattern, or an --exchange")


def one_file(options: Mapping[str, Any]) -> tuple[SeriesId, Path | None, Kind]:
    """The series, file and format of a command line without a folder; raises CommandError."""
    names, path = options["series"], options["output"]
    if len(names) != 1 or options["exchange"] or not isinstance(names[0], SeriesId):
        raise CommandError("several series need a --folder, for one file each")
    kind = Kind(options["format"] or kind_of(path))
    if path is None and kind is not Kind.CSV:
        raise CommandError(f"{kind} needs --output")
    return names[0], path, kind


def series_or_pattern(text: str) -> SeriesId | str:
    """A series, or the text of a pattern, for argparse."""
    if not WILDCARDS.intersection(text):
        return series_argument(text)
    if text.count(":") < 3:
        raise ArgumentTypeError(f"a pattern is exchange:market:symbol:timeframe: {text}")
    return text


def selected(names: list[SeriesId | str], exchanges: list[str]) -> list[SeriesId]:
    """The stored series that are named; raises CommandError for a name that none has."""
    stored = stored_series()
    found: dict[SeriesId, None] = {}
    for name in names:
        if isinstance(name, SeriesId):
            require_candles(name)
            found[name] = None
            continue
        matching = [each for each in stored if fnmatchcase(str(each), name)]
        if not matching:
            raise CommandError(f"no stored series matches {name}")
        found |= dict.fromkeys(matching)
    for exchange in exchanges:
        of_exchange = [each for each in stored if each.exchange == exchange]
        if not of_exchange:
            raise CommandError(f"no series of {exchange} is stored")
        found |= dict.fromkeys(of_exchange)
    return list(found)


def kind_of(path: Path | None) -> Kind:
    """The format that a file's name asks for."""
    name = "" if path is None else path.name
    if name.endswith(".gz"):
        return Kind.CSV_GZ
    return next((kind for kind in Kind if name.endswith(f".{kind}")), Kind.CSV)


@contextmanager
def target(path: Path | None, stdout: Any) -> Iterator[IO[bytes]]:
    """Where to write. A file appears under its name only when it is complete."""
    if path is None:
        yield cast("IO[bytes]", _Text(stdout))
        return
    try:
        with whole_file(path) as draft, draft.open("wb") as sink:
            yield sink
    except OSError as error:
        raise CommandError(str(error)) from error


class _Text:
    """Standard output, which takes text."""

    def __init__(self, stdout: Any) -> None:
        self._stdout = stdout

    def write(self, content: bytes) -> None:
        if content:
            self._stdout.write(content.decode(), ending="")


@contextmanager
def locked(folder: Path, *, make: bool = False) -> Iterator[None]:
    """Keep other exports out of a folder: two of them would replace each other's drafts."""
    try:
        if make:
            folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise CommandError(str(error)) from error
    try:
        if not try_lock(descriptor):
            raise CommandError(f"another export is writing into {folder}")
        yield
    finally:
        os.close(descriptor)
