"""The overlay ledger in this process's memory: one process, lost when it ends."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, count

from typing_extensions import override

from factors.domain.checkpoints import ORIGIN, Checkpoint
from factors.domain.ledger import Position, Saved
from factors.stores.shared import MemoryCheckpoints, newest_of
from market.domain.series import SeriesId
from market.domain.store import SeriesWriter
from overlays.domain.instruction import Change, InstructionVersion
from overlays.domain.ledger import LedgerState, OverlayLedger, OverlayLedgerWriter
from overlays.domain.versions import NEVER, SeriesVersions, VersionReader


@dataclass(slots=True)
class _SeriesLedger:
    """The ledger of one series."""

    state: LedgerState | None = None
    versions: SeriesVersions = field(default_factory=SeriesVersions)
    checkpoints: Mapping[int, Checkpoint] = field(default_factory=dict)


class MemoryOverlayWriter(OverlayLedgerWriter):
    """Changes of one series' ledger, which become visible when its candles are committed."""

    def __init__(self, stored: _SeriesLedger, numbers: count[int], mutex: threading.Lock) -> None:
        self.checkpoints: MemoryCheckpoints = MemoryCheckpoints(stored.checkpoints)
        self._stored = stored
        self._numbers = numbers
        self._mutex = mutex
        self._state = stored.state
        self._versions = stored.versions
        self._added: list[tuple[int, Change]] = []

    @override
    def position(self) -> Position | None:
        return None if self._state is None else self._state.position

    @override
    def append(
        self, expected: Position | None, after: Position, entries: Sequence[Sequence[Change]]
    ) -> bool:
        if self.position() != expected:
            return False
        self._added += [(next(self._numbers), change) for change in chain.from_iterable(entries)]
        takebacks = 0 if self._state is None else self._state.takebacks
        self._state = LedgerState(after, next(self._numbers), takebacks)
        return True

    @override
    def truncate(self, from_time: int) -> None:
        kept = self._versions.before(from_time)
        deleted = {each.instruction_id for each in self._versions if each.visible_time >= from_time}
        newest = [kept.newest_of(name, NEVER) for name in deleted]
        for version in sorted(each for each in newest if each is not None and each.definition):
            again = Change(*version[1:])._replace(visible_time=from_time)
            kept.append(next(self._numbers), again)
        self._versions = kept
        self.checkpoints.truncate(from_time)
        if self._state is not None:
            self._state = self._state._replace(takebacks=self._state.takebacks + 1)

    def commit(self) -> None:
        """Make the changes visible, in one step for every reader."""
        with self._mutex:
            for number, change in self._added:
                self._versions.append(number, change)
            self._stored.versions = self._versions
            self._stored.checkpoints = self.checkpoints.saved
            self._stored.state = self._state


class MemoryVersions(VersionReader):
    """The versions of one series, read as they are at each call."""

    def __init__(self, stored: _SeriesLedger, mutex: threading.Lock) -> None:
        self._stored = stored
        self._mutex = mutex

    @override
    def after(self, cursor: int, to_time: int, *, limit: int) -> Sequence[InstructionVersion]:
        with self._mutex:
            return self._stored.versions.after(cursor, to_time, limit=limit)

    @override
    def count_after(self, cursor: int, to_time: int, *, limit: int) -> int:
        with self._mutex:
            return self._stored.versions.count_after(cursor, to_time, limit=limit)

    @override
    def newest(self, to_time: int, *, cutoff: int) -> list[InstructionVersion]:
        with self._mutex:
            return list(self._stored.versions.newest(to_time, cutoff=cutoff))

    @override
    def newest_of(self, instruction_id: str, to_time: int) -> InstructionVersion | None:
        with self._mutex:
            return self._stored.versions.newest_of(instruction_id, to_time)

    @override
    def points(self, to_time: int, *, cutoff: int) -> list[InstructionVersion]:
        with self._mutex:
            return self._stored.versions.points(to_time, cutoff=cutoff)

    @override
    def greatest_id(self, to_time: int) -> int:
        with self._mutex:
            return self._stored.versions.greatest_id(to_time)


class MemoryOverlayLedger(OverlayLedger):
    """The overlay ledgers beside the memory candle store."""

    def __init__(self) -> None:
        self._ledgers: dict[SeriesId, _SeriesLedger] = {}
        # One sequence for all series; taking a number is atomic.
        self._numbers = count(1)
        # Held for moments only: a commit is one step for every reader.
        self._mutex = threading.Lock()

    @override
    def writing(self, writer: SeriesWriter) -> MemoryOverlayWriter:
        with self._mutex:
            stored = self._ledgers.setdefault(writer.series, _SeriesLedger())
        ledger = MemoryOverlayWriter(stored, self._numbers, self._mutex)
        writer.on_commit(ledger.commit)
        return ledger

    @override
    def state(self, series: SeriesId) -> LedgerState | None:
        return self._of(series).state

    @override
    def saved(self, series: Collection[SeriesId]) -> dict[SeriesId, Saved]:
        ledgers = {each: self._of(each) for each in series}
        found = {
            each: newest_of(ledger.state.position, ledger.checkpoints)
            for each, ledger in ledgers.items()
            if ledger.state is not None
        }
        return {each: saved for each, saved in found.items() if saved is not None}

    @override
    def origin(self, series: SeriesId) -> Checkpoint | None:
        return self._of(series).checkpoints.get(ORIGIN)

    @override
    def versions(self, series: SeriesId) -> MemoryVersions:
        return MemoryVersions(self._of(series), self._mutex)

    def _of(self, series: SeriesId) -> _SeriesLedger:
        return self._ledgers.get(series) or _SeriesLedger()
