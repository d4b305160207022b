"""Files that a power loss leaves as they were or as they shall be, never in part.

A rename may reach the disk before the content of the file does: the file is synced first, and then
its folder.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def whole_file(path: Path, *, mode: int = 0o666) -> Iterator[Path]:
    """A draft to write; it gets the name `path` when the block ends, and is removed if it fails."""
    draft = path.with_name(f".{path.name}.part")
    draft.unlink(missing_ok=True)
    draft.touch(mode=mode)
    try:
        yield draft
        sync(draft)
        draft.replace(path)
        sync(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def write_whole(path: Path, text: str, *, mode: int = 0o666) -> None:
    """Replace the content of `path`, or create it with this mode."""
    with whole_file(path, mode=mode) as draft:
        draft.write_text(text, encoding="utf-8")


def sync(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def try_lock(file: IO[str] | int) -> bool:
    """Lock an open file exclusively until it is closed; False if another opening holds it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
