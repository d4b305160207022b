"""The files to import: one file, or those of a folder or an archive, without unpacking to disk."""

from __future__ import annotations

import lzma
import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePath, PurePosixPath
from typing import BinaryIO, cast

from market.candle_files.refusals import FileRefused

SUFFIXES = (".csv", ".txt", ".json", ".gz", ".feather", ".arrow", ".parquet")
ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")

# freqtrade's files of other data, beside its candles.
NO_CANDLES = ("-mark", "-index", "-premiumindex", "-funding_rate", "-trades")

MAX_FILES = 100_000
MAX_UNPACKED_BYTES = 256 << 30
PIECE_BYTES = 1 << 20

# Candles pack to a fiftieth at best, when nothing is traded. A bomb packs to a thousandth.
MAX_RATIO = 300
FREE_BYTES = 16 << 20

BROKEN = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, NotImplementedError
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Source:
    """One open file. `path` names it in reports, and its series: with the folders it is in."""

    path: PurePath
    stream: BinaryIO


@dataclass(slots=True)
class Sources:
    """The files below a path. `skipped` are the names of those that hold no candles.

    `opened` gets each file that is read from disk, and returns what is read in its place: for
    progress.
    """

    path: Path
    opened: Callable[[BinaryIO], BinaryIO] = lambda file: file
    skipped: list[str] = field(default_factory=list)

    @property
    def is_single(self) -> bool:
        """Whether the path is one file, and no archive."""
        return not self.path.is_dir() and not _is_archive(self.path.name)

    def size(self) -> int:
        """The bytes on disk."""
        paths = [self.path, *self.path.rglob("*")]
        return sum(path.stat().st_size for path in paths if path.is_file())

    def files(self) -> Generator[Source]:
        """Each file, in the order of the names; an archive's in its own order.

        A source is to be read before the next one is taken. To be closed by those who stop before
        the last one. Raises FileRefused and OSError.
        """
        for count, source in enumerate(self._all()):
            if count == MAX_FILES:
                raise FileRefused("too_many_files", f"more than {MAX_FILES:,} files")
            yield source

    def _all(self) -> Iterator[Source]:
        for path in self._paths():
            # Folders count towards the series of a file that is given by its name alone, too.
            absolute = path.absolute()
            with path.open("rb") as file:
                counted = self.opened(file)
                if not _is_archive(path.name):
                    yield Source(absolute, counted)
                    continue
                try:
                    yield from (
                        self._zip(absolute, counted)
                        if path.suffix.lower() == ".zip"
                        else self._tar(absolute, counted, path.stat().st_size)
                    )
                except FileRefused as error:
                    # The files after a broken archive are read all the same.
                    yield Source(absolute, cast(BinaryIO, Broken(error)))

    def _paths(self) -> Iterator[Path]:
        if not self.path.is_dir():
            yield self.path
            return
        # A link is not followed: it may lead anywhere.
        for folder, folders, names in os.walk(self.path):
            folders[:] = sorted(each for each in folders if not each.startswith("."))
            for path in (Path(folder, name) for name in sorted(names)):
                is_wanted = _is_archive(path.name) or _has_candles(path.name)
                if is_wanted and path.is_file() and not path.is_symlink():
                    yield path
                else:
                    self.skipped.append(str(path.relative_to(self.path)))

    def _zip(self, path: PurePath, file: BinaryIO) -> Iterator[Source]:
        budget = MAX_UNPACKED_BYTES
        with _as_refused(), zipfile.ZipFile(file) as archive:
            for member in archive.infolist():
                if member.is_dir() or self._is_skipped(member.filename):
                    continue
                if member.flag_bits & 1:
                    raise FileRefused("bad_archive", f"{member.filename} is encrypted")
                limit = min(budget, FREE_BYTES + MAX_RATIO * member.compress_size)
                with archive.open(member) as stream:
                    bounded = Bounded(cast(BinaryIO, stream), limit)
                    yield Source(_inside(path, member.filename), cast(BinaryIO, bounded))
                budget -= bounded.taken

    def _tar(self, path: PurePath, file: BinaryIO, size: int) -> Iterator[Source]:
        budget = min(MAX_UNPACKED_BYTES, FREE_BYTES + MAX_RATIO * size)
        # As a stream: what is packed as a whole can't be read at any place.
        with _as_refused(), tarfile.open(fileobj=file, mode="r|*") as archive:
            for member in archive:
                if not member.isreg() or self._is_skipped(member.name):
                    continue
                stream = archive.extractfile(member)
                assert stream is not None
                bounded = Bounded(cast(BinaryIO, stream), budget)
                yield Source(_inside(path, member.name), cast(BinaryIO, bounded))
                budget -= bounded.taken

    def _is_skipped(self, name: str) -> bool:
        """Whether a member of an archive is left out: archives in archives are, too."""
        is_skipped = not _has_candles(PurePosixPath(name).name)
        if is_skipped:
            self.skipped.append(name)
        return is_skipped


class Broken:
    """An archive that can't be read, in place of a file."""

    def __init__(self, reason: FileRefused) -> None:
        self._reason = reason

    def read(self, size: int = -1) -> bytes:
        """Raise FileRefused."""
        raise self._reason


class Bounded:
    """A member of an archive that unpacks to `limit` bytes at most; `taken` counts them."""

    def __init__(self, stream: BinaryIO, limit: int) -> None:
        self._stream = stream
        self._limit = limit
        self.taken = 0

    def read(self, size: int = -1) -> bytes:
        """The next bytes, at most `size`; raises FileRefused."""
        with _as_refused():
            piece = self._stream.read(min(size, PIECE_BYTES) if size >= 0 else PIECE_BYTES)
        self.taken += len(piece)
        if self.taken > self._limit:
            message = f"the archive unpacks to more than {self._limit:,} bytes in one file"
            raise FileRefused("archive_bomb", message)
        return piece


def _has_candles(name: str) -> bool:
    stem, _, suffix = name.lower().partition(".")
    suffix = PurePath(name).suffix.lower()
    is_archive = _is_archive(name)
    return suffix in SUFFIXES and not is_archive and bool(stem) and not stem.endswith(NO_CANDLES)


def _is_archive(name: str) -> bool:
    return name.lower().endswith(ARCHIVES)


def _inside(archive: PurePath, name: str) -> PurePath:
    """The path of a member, as if it lay beside its archive; raises FileRefused."""
    inside = PurePosixPath(name.replace("\\", "/"))
    if inside.is_absolute() or ".." in inside.parts or ":" in inside.parts[0]:
        raise FileRefused("bad_archive", f"the name of a file leads out of the archive: {name!r}")
    return archive.parent / inside


@contextmanager
def _as_refused() -> Iterator[None]:
    """What breaks while an archive is read, as FileRefused."""
    try:
        yield
    except BROKEN as error:
        raise FileRefused("bad_archive", str(error)) from error
