"""Replay packages on disk: one folder each, written so that a crash leaves them whole.

A folder has the request (`job.json`), the parts built so far, and in the end the package alone. A
builder holds the lock of its folder, which the system frees when the process ends.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from factors.lazy_json import as_json
from market.files import try_lock, whole_file
from overlays.replay.package import SCHEMA

log = logging.getLogger(__name__)

KEY = re.compile(r"[0-9a-f]{24}")

# A folder without a package is kept this long: its build may go on, or its error be asked for.
UNFINISHED_S = 86_400.0
# The time of use is written down at most this often.
USED_EVERY_S = 60.0


class Busy(Exception):
    """Another builder has the folder."""


@dataclass(frozen=True, slots=True)
class Folder:
    """The folder of one package."""

    path: Path

    @property
    def package(self) -> Path:
        """The finished package; its time of modification is that of its last use."""
        return self.path / "replay_package.json"

    @property
    def job(self) -> Path:
        """The request, and the error if its build failed."""
        return self.path / "job.json"

    def part(self, number: int) -> Path:
        """A part that was built."""
        return self.path / f"part-{number:04}.json"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only builder of the folder while the block runs; raise Busy if there is one."""
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if not try_lock(descriptor):
                raise Busy
            yield
        finally:
            os.close(descriptor)

    def is_locked(self) -> bool:
        """Whether a builder is at work."""
        try:
            with self.locked():
                return False
        except Busy:
            return True

    def write(self, path: Path, content: Any) -> None:
        """Write a file whole."""
        with whole_file(path) as draft:
            draft.write_bytes(as_json(content))

    def read(self, path: Path) -> Any:
        """The content of a file; None if it does not exist."""
        try:
            return orjson.loads(path.read_bytes())
        except FileNotFoundError:
            return None

    def use(self) -> None:
        """Note that the package is used now."""
        try:
            if time.time() - self.package.stat().st_mtime > USED_EVERY_S:
                os.utime(self.package)
        except FileNotFoundError:
            pass

    def drop_parts(self) -> None:
        """Delete what a build leaves behind besides its package and its request."""
        for part in self.path.glob("part-*.json"):
            part.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Artifacts:
    """All packages below one folder, together at most `max_bytes`."""

    root: Path
    max_bytes: int

    def folder(self, key: str) -> Folder | None:
        """The folder of a key, whether it exists or not; None for what is no key."""
        return Folder(self.root / SCHEMA / key) if KEY.fullmatch(key) else None

    def collect(self) -> None:
        """Delete the packages used longest ago until the rest fits, and builds left for a day."""
        kept: list[tuple[float, int, Path]] = []
        for path in sorted((self.root / SCHEMA).glob("*")):
            folder = Folder(path)
            try:
                used_at = folder.package.stat().st_mtime
            except FileNotFoundError:
                self._drop_unfinished(folder)
                continue
            kept.append((used_at, _size_of(path), path))
        kept.sort()
        total = sum(size for _, size, _ in kept)
        # The newest one stays, whatever its size: it was just asked for.
        for _, size, path in kept[:-1]:
            if total <= self.max_bytes:
                break
            log.info("replay package %s is dropped: %d bytes are kept", path.name, total)
            shutil.rmtree(path, ignore_errors=True)
            total -= size

    def _drop_unfinished(self, folder: Folder) -> None:
        """Delete a folder that no build has touched for a day, even without its request.

        A process that was killed while it made or deleted the folder leaves one like that.
        """
        with suppress(FileNotFoundError):
            touched = folder.job if folder.job.exists() else folder.path
            is_old = time.time() - touched.stat().st_mtime > UNFINISHED_S
            if is_old and not folder.is_locked():
                shutil.rmtree(folder.path, ignore_errors=True)


def _size_of(path: Path) -> int:
    """The bytes of the files of a folder; another process may delete some meanwhile."""
    size = 0
    with suppress(FileNotFoundError):
        for each in path.iterdir():
            with suppress(FileNotFoundError):
                size += each.stat().st_size
    return size
