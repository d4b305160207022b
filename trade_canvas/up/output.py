"""What `up` prints: its own lines and those of its children, each behind a name."""

from __future__ import annotations

import logging
import sys
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TextIO

COLOURS = {
    "web": 32,
    "control": 96,
    "follower": 36,
    "worker": 94,
    "beat": 35,
    "exchange": 33,
    "prepare": 34,
    "up": 1,
}
NAME_WIDTH = 8
LOG_BYTES = 5_000_000


class Output:
    """Writes prefixed lines to the terminal, and each child's lines to a file of its own."""

    def __init__(self, logs: Path, stream: TextIO = sys.stdout) -> None:
        self._logs = logs
        self._stream = stream
        self._files: dict[str, logging.Logger] = {}

    def show(self, text: str) -> None:
        """Print a line of `up` itself."""
        self.line("up", text)

    def line(self, name: str, text: str) -> None:
        """Print one line of the named child and append it to its file in DATA_DIR/logs."""
        if name not in self._files:
            self._logs.mkdir(parents=True, exist_ok=True)
            handler = RotatingFileHandler(
                self._logs / f"{name}.log", maxBytes=LOG_BYTES, backupCount=1, encoding="utf-8"
            )
            self._files[name] = logging.Logger(f"up.{name}")
            self._files[name].addHandler(handler)
        self._files[name].info("%s", text)
        label = f"[{name}]".ljust(NAME_WIDTH + 2)
        if self._stream.isatty():
            label = f"\033[{COLOURS.get(name, 0)}m{label}\033[0m"
        print(f"{label} {text}", file=self._stream, flush=True)

    def banner(self, rows: list[tuple[str, str]]) -> None:
        """Print names and values as a block of their own; no file gets it."""
        width = max(len(name) for name, _ in rows)
        lines = [f"  {name.ljust(width)}  {value}" for name, value in rows]
        print("\n" + "\n".join(lines) + "\n", file=self._stream, flush=True)

    def close(self) -> None:
        """Close the files."""
        for logger in self._files.values():
            for handler in list(logger.handlers):
                logger.removeHandler(handler)
                handler.close()
        self._files.clear()
