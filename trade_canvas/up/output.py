"""What `up` shows: its own words and every child's lines behind the child's name."""

from __future__ import annotations

import logging
import sys
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TextIO

COLOURS = {"web": 32, "worker": 36, "beat": 35, "exchange": 33, "prepare": 34, "up": 1}
NAME_WIDTH = 8
LOG_BYTES = 5_000_000


class Output:
    """Writes prefixed lines to the terminal, and each child's lines to a file of its own."""

    def __init__(self, logs: Path, stream: TextIO = sys.stdout) -> None:
        self._logs = logs
        self._stream = stream
        self._files: dict[str, logging.Logger] = {}

    def say(self, text: str) -> None:
        """Show something of `up`'s own."""
        self.line("up", text)

    def line(self, name: str, text: str) -> None:
        """Show one line of the named child and keep it in DATA_DIR/logs."""
        self.keep(name, text)
        print(f"{self._prefix(name)} {text}", file=self._stream, flush=True)

    def keep(self, name: str, text: str) -> None:
        """Write a line to the named child's file only."""
        self._file(name).info("%s", text)

    def banner(self, rows: list[tuple[str, str]]) -> None:
        """Show names and values as the one thing to be read, not kept in any file."""
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

    def _prefix(self, name: str) -> str:
        label = f"[{name}]".ljust(NAME_WIDTH + 2)
        return f"\033[{COLOURS.get(name, 0)}m{label}\033[0m" if self._stream.isatty() else label

    def _file(self, name: str) -> logging.Logger:
        if name not in self._files:
            self._logs.mkdir(parents=True, exist_ok=True)
            handler = RotatingFileHandler(
                self._logs / f"{name}.log", maxBytes=LOG_BYTES, backupCount=1, encoding="utf-8"
            )
            logger = self._files[name] = logging.Logger(f"up.{name}")
            logger.addHandler(handler)
        return self._files[name]
