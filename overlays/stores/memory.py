"""The overlay ledger in this process's memory: one process, nothing survives it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import cast

from factors.domain.checkpoints import Checkpoint
from factors.stores.checkpoints import MemoryCheckpoints
from market.domain.series import SeriesId
from market.domain.store import Outpaced, SeriesWriter
from market.stores.memory import MemoryWriter
from overlays.domain.instruction import Change, InstructionVersion
from overlays.domain.ledger import LedgerState, Position
from overlays.domain.versions import NEVER, SeriesVersions


@dataclass(slots=True)
class _Shelf:
    """What is held of one series."""

    state: LedgerState | None = None
    versions: SeriesVersions = field(default_factory=SeriesVersions)
    checkpoints: Mapping[int, Checkpoint] = field(default_factory=dict)


class MemoryOverlayWriter:
    """Changes of one series' ledger, which wait for the commit of its candles."""

    def __init__(self, shelf: _Shelf, numbers: count[int], mutex: threading.Lock) -> None:
        self._shelf = shelf
        self._numbers = numbers
        self._mutex = mutex
        self._state = shelf.state
        self._versions = shelf.versions
        self.checkpoints = MemoryCheckpoints(shelf.checkpoints)
        self._added: list[tuple[int, Change]] = []

    def state(self) -> LedgerState | None:
        """See OverlayLedgerWriter.state."""
        return self._state

    def append(self, expected: Position | None, after: Position, changes: Sequence[Change]) -> bool:
        """See OverlayLedgerWriter.append."""
        state = self._state
        if (None if state is None else state.position) != expected:
            return False
        self._added += [(next(self._numbers), change) for change in changes]
        takebacks = 0 if state is None else state.takebacks
        self._state = LedgerState(after, next(self._numbers), takebacks)
        return True

    def append_late(
        self, expected: Position | None, after: Position, changes: Sequence[Change]
    ) -> None:
        """See OverlayLedgerWriter.append_late."""
        if not self.append(expected, after, changes):
            raise Outpaced

    def truncate(self, from_time: int) -> None:
        """See OverlayLedgerWriter.truncate."""
        kept = self._versions.before(from_time)
        for version in list(_survivors(self._versions, kept, from_time)):
            again = Change(*version[1:])._replace(visible_time=from_time)
            kept.append(next(self._numbers), again)
        self._versions = kept
        self.checkpoints.truncate(from_time)
        if self._state is not None:
            self._state = self._state._replace(takebacks=self._state.takebacks + 1)

    def land(self) -> None:
        """Make the changes visible, in one step for every reader."""
        shelf = self._shelf
        with self._mutex:
            for number, change in self._added:
                self._versions.append(number, change)
            shelf.versions = self._versions
            shelf.checkpoints = self.checkpoints.kept
            shelf.state = self._state


def _survivors(
    versions: SeriesVersions, kept: SeriesVersions, from_time: int
) -> Iterator[InstructionVersion]:
    """What is the newest drawing of an instruction again, by number."""
    gone = {each.instruction_id for each in versions if each.visible_time >= from_time}
    newest = [kept.newest_of(name, NEVER) for name in gone]
    yield from sorted(each for each in newest if each is not None and each.definition)


class MemoryVersions:
    """The versions of one series as they stand at each read; a VersionReader."""

    def __init__(self, shelf: _Shelf, mutex: threading.Lock) -> None:
        self._shelf = shelf
        self._mutex = mutex

    def after(self, cursor: int, to_time: int, *, limit: int) -> Sequence[InstructionVersion]:
        """See VersionReader.after."""
        with self._mutex:
            return self._shelf.versions.after(cursor, to_time, limit=limit)

    def count_after(self, cursor: int, to_time: int, *, limit: int) -> int:
        """See VersionReader.count_after."""
        with self._mutex:
            return self._shelf.versions.count_after(cursor, to_time, limit=limit)

    def newest(self, to_time: int, *, cutoff: int) -> list[InstructionVersion]:
        """See VersionReader.newest."""
        with self._mutex:
            return list(self._shelf.versions.newest(to_time, cutoff=cutoff))

    def newest_of(self, instruction_id: str, to_time: int) -> InstructionVersion | None:
        """See VersionReader.newest_of."""
        with self._mutex:
            return self._shelf.versions.newest_of(instruction_id, to_time)

    def greatest_id(self, to_time: int) -> int:
        """See VersionReader.greatest_id."""
        with self._mutex:
            return self._shelf.versions.greatest_id(to_time)


class MemoryOverlayLedger:
    """Implements overlays.domain.ledger.OverlayLedger beside the memory candle store."""

    def __init__(self) -> None:
        self._shelves: dict[SeriesId, _Shelf] = {}
        # One for all series; each step of it is one for all threads.
        self._numbers = count(1)
        # Held for moments only: a landing is one step for every reader.
        self._mutex = threading.Lock()

    def writing(self, writer: SeriesWriter) -> MemoryOverlayWriter:
        """See OverlayLedger.writing."""
        with self._mutex:
            shelf = self._shelves.setdefault(writer.series, _Shelf())
        ledger = MemoryOverlayWriter(shelf, self._numbers, self._mutex)
        cast(MemoryWriter, writer).on_commit(ledger.land)
        return ledger

    def state(self, series: SeriesId) -> LedgerState | None:
        """See OverlayLedger.state."""
        return self._shelf(series).state

    def versions(self, series: SeriesId) -> MemoryVersions:
        """See OverlayLedger.versions."""
        return MemoryVersions(self._shelf(series), self._mutex)

    def _shelf(self, series: SeriesId) -> _Shelf:
        return self._shelves.get(series) or _Shelf()
