"""Progress of a command that reads files: a bar on a terminal, plain lines anywhere else."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import BinaryIO, cast

from tqdm import tqdm

LINES_EVERY_S = 10.0


class BytesProgress:
    """Counts what is read of `total` bytes. `write` gets the plain lines; None shows nothing."""

    def __init__(self, total: int, name: str, write: Callable[[str], object] | None) -> None:
        self._name = name
        self._total = total
        self._done = 0
        self._rows = 0
        self._shown_at = time.monotonic()
        is_terminal = sys.stderr.isatty()
        self._write = None if is_terminal else write
        self._bar = tqdm(
            total=total,
            desc=name,
            unit="B",
            unit_scale=True,
            disable=write is None or not is_terminal,
        )

    def opened(self, file: BinaryIO) -> BinaryIO:
        """The same file, of which each read is counted."""
        return cast(BinaryIO, _Counted(file, self._read))

    def stored(self, rows: int) -> None:
        """Count rows that are done."""
        self._rows += rows
        now = time.monotonic()
        if self._write is not None and now - self._shown_at >= LINES_EVERY_S:
            self._shown_at = now
            share = min(1.0, self._done / self._total) if self._total else 1.0
            self._write(f"{self._name}: {share:.0%}, {self._rows:,} rows")

    def close(self) -> None:
        """Take the bar away."""
        self._bar.close()

    def _read(self, count: int) -> None:
        self._done += count
        self._bar.update(count)


class _Counted:
    """A binary file that reports how many bytes each read returned."""

    def __init__(self, file: BinaryIO, report: Callable[[int], object]) -> None:
        self._file = file
        self._report = report

    def read(self, size: int = -1) -> bytes:
        """Read at most `size` bytes."""
        piece = self._file.read(size)
        self._report(len(piece))
        return piece

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)
