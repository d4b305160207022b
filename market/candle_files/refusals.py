"""What is wrong with a file, and what is wrong with a row: each with a stable code."""

from __future__ import annotations

from collections import Counter


class FileRefused(ValueError):
    """A file can't be read as candles; the message begins with a stable code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class RowRefused(FileRefused):
    """A wrong row. `row` counts from 1; in a file of lines it is the number of the line."""

    word = "line"

    def __init__(self, row: int, code: str, message: str, *, found: str = "") -> None:
        super().__init__(code, message)
        self.row = row
        self.reason = f"{code}: {message}"
        self.found = found

    def __str__(self) -> str:
        found = f": {self.found!r}" if self.found else ""
        return f"{self.word} {self.row}: {self.reason}{found}"


class Refusals:
    """The rows of a file that were refused: how many for each reason, and the first of them.

    Unless reading `continues` after a wrong row, the first one is raised. `word` is what a row of
    the file is called.
    """

    def __init__(self, *, continues: bool = False) -> None:
        self.continues = continues
        self.word = RowRefused.word
        self.reasons: Counter[str] = Counter()
        self.first: RowRefused | None = None

    def add(self, refused: RowRefused) -> None:
        """Count a wrong row; raises RowRefused unless reading continues."""
        refused.word = self.word
        if not self.continues:
            raise refused
        self.reasons[refused.reason] += 1
        self.first = self.first or refused
