"""Checkpoints of engine states, in memory and in any PostgreSQL table made for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter

from psycopg2.extras import execute_values

from factors.domain.checkpoints import Checkpoint
from market.stores.postgres import PostgresWriter


class MemoryCheckpoints:
    """Implements CheckpointShelf on a copy: `kept` is what is to stand once the rest lands."""

    def __init__(self, kept: Mapping[int, Checkpoint]) -> None:
        self.kept = kept

    def newest(self, before: int) -> Checkpoint | None:
        """See CheckpointShelf.newest."""
        older = [each for each in self.kept.values() if each.candle_time < before]
        return max(older, key=attrgetter("candle_time"), default=None)

    def counts(self) -> list[int]:
        """See CheckpointShelf.counts."""
        return sorted(self.kept)

    def save(self, checkpoints: Sequence[Checkpoint], *, drop: Sequence[int]) -> None:
        """See CheckpointShelf.save."""
        gone = set(drop)
        left = {count: each for count, each in self.kept.items() if count not in gone}
        self.kept = left | {each.candle_count: each for each in checkpoints}

    def truncate(self, from_time: int) -> None:
        """Drop the states of candles at or after `from_time`."""
        self.kept = {
            count: each for count, each in self.kept.items() if each.candle_time < from_time
        }


class PostgresCheckpoints:
    """Implements CheckpointShelf on one table, in the transaction of `writer`."""

    def __init__(self, writer: PostgresWriter, table: str) -> None:
        self._key = writer.key
        self._writer = writer
        self._table = table

    def newest(self, before: int) -> Checkpoint | None:
        """See CheckpointShelf.newest."""
        cursor = self._writer.cursor
        cursor.execute(
            f"SELECT candle_time, candle_count, data FROM {self._table}"
            " WHERE series_id = %s AND candle_time < %s ORDER BY candle_time DESC LIMIT 1",
            (self._key, before),
        )
        row = cursor.fetchone()
        return None if row is None else Checkpoint(row[0], row[1], bytes(row[2]))

    def counts(self) -> list[int]:
        """See CheckpointShelf.counts."""
        cursor = self._writer.cursor
        cursor.execute(
            f"SELECT candle_count FROM {self._table} WHERE series_id = %s ORDER BY 1", (self._key,)
        )
        return [count for (count,) in cursor.fetchall()]

    def save(self, checkpoints: Sequence[Checkpoint], *, drop: Sequence[int]) -> None:
        """See CheckpointShelf.save."""
        if drop:
            self._writer.cursor.execute(
                f"DELETE FROM {self._table} WHERE series_id = %s AND candle_count = ANY(%s)",
                (self._key, list(drop)),
            )
        if checkpoints:
            execute_values(
                self._writer.cursor,
                f"INSERT INTO {self._table} (series_id, candle_time, candle_count, data) VALUES %s",
                [(self._key, *each) for each in checkpoints],
            )

    def truncate(self, from_time: int) -> None:
        """Drop the states of candles at or after `from_time`."""
        self._writer.cursor.execute(
            f"DELETE FROM {self._table} WHERE series_id = %s AND candle_time >= %s",
            (self._key, from_time),
        )
