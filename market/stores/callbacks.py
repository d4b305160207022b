"""What stages want to be called back for, at the end of a transaction."""

from __future__ import annotations

from collections.abc import Callable


class Callbacks:
    """Callbacks of one transaction; the part of SeriesWriter that both stores share."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []
        self._land: list[Callable[[], None]] = []

    def on_rollback(self, undo: Callable[[], None]) -> None:
        """Call `undo` if the transaction fails."""
        self._undo.append(undo)

    def on_commit(self, land: Callable[[], None]) -> None:
        """Call `land`, which must not fail, after the commit."""
        self._land.append(land)

    def committed(self) -> None:
        """Run the callbacks of a commit, in order."""
        for land in self._land:
            land()

    def rolled_back(self) -> None:
        """Run the callbacks of a rollback, in reverse order."""
        for undo in reversed(self._undo):
            undo()
