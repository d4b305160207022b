"""Several series in one PostgreSQL transaction, each under its own lock and fence.

Nothing here waits for another writer: a series whose lock is held is left out. So groups can't
deadlock, and one busy series delays no other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from typing_extensions import override

from market.domain.series import SeriesId
from market.domain.store import Fence, GroupWriter, StaleFence
from market.stores.postgres_series import create_rows, lock_free_series, raise_fence
from market.stores.postgres_writer import PostgresWriter, flush

SAVEPOINT = "SAVEPOINT one_series"
RELEASE = "RELEASE SAVEPOINT one_series"
TAKE_BACK = f"ROLLBACK TO SAVEPOINT one_series; {RELEASE}"


class MemberWriter(PostgresWriter):
    """One series of a group.

    From the first statement of its own on a savepoint separates what it writes from the others.
    """

    group: PostgresGroup
    is_created = False
    _is_apart = False

    @property
    @override
    def cursor(self) -> Any:
        # The row first, which is created together with those of the others.
        _ = self.key
        if not self._is_apart:
            self._cursor.execute(SAVEPOINT)
            self._is_apart = True
        return super().cursor

    @override
    def _create_row(self) -> int:
        return self.group.create_rows()[self.series]

    def created(self, key: int, *, is_derived: bool) -> None:
        """Take the key of the row that was created in this transaction."""
        self._row_key, self.is_created, self.is_derived = key, True, is_derived

    @property
    def fence(self) -> int:
        """The fence that the series' row is created with."""
        return self._fence

    @property
    def has_row(self) -> bool:
        """Whether the series has a row."""
        return self._row_key is not None

    def keep(self) -> None:
        """End the savepoint, if there is one."""
        if self._is_apart:
            self._cursor.execute(RELEASE)
            self._is_apart = False

    def take_back(self) -> None:
        """Undo what the series has written so far."""
        self.take_deferred()
        if self._is_apart:
            self._cursor.execute(TAKE_BACK)
            self._is_apart = False
        if self.is_created:
            self._cursor.execute("DELETE FROM series WHERE id = %s", (self.key,))


class PostgresGroup(GroupWriter):
    """The series of one transaction; those that failed are out of it."""

    def __init__(
        self, cursor: Any, fences: Mapping[SeriesId, Fence | None], *, begin: str = ""
    ) -> None:
        self._cursor = cursor
        rows = lock_free_series(cursor, list(fences), begin=begin)
        self.busy = frozenset(fences) - rows.keys()
        stale: set[SeriesId] = set()
        writers: dict[SeriesId, MemberWriter] = {}
        for series, row in rows.items():
            fence = fences[series]
            try:
                if fence is not None and fence != row.fence:
                    raise_fence(cursor, series, row, fence)
            except StaleFence:
                stale.add(series)
                continue
            writers[series] = MemberWriter(series, row, cursor, fence=fence)
            writers[series].group = self
        self.stale = frozenset(stale)
        self._writers = writers

    @property
    @override
    def writers(self) -> Sequence[MemberWriter]:
        return list(self._writers.values())

    @override
    @contextmanager
    def alone(self, series: SeriesId) -> Iterator[None]:
        writer = self._writers[series]
        try:
            yield
            writer.keep()
        except BaseException:
            del self._writers[series]
            writer.rolled_back()
            writer.take_back()
            raise

    def create_rows(self) -> dict[SeriesId, int]:
        """Create the rows of all series that have none; return their keys."""
        new = {str(each.series): each for each in self.writers if not each.has_row}
        rows = create_rows(self._cursor, [(each.series, each.fence) for each in new.values()])
        for name, key, is_derived in rows:
            new[name].created(key, is_derived=is_derived)
        return {new[name].series: key for name, key, _ in rows}

    def flush(self, commit: bytes = b"") -> None:
        """Write what all series have deferred, and commit with it; raises Outpaced."""
        flush(self._cursor, self.writers, commit)
