"""What the hub reads from the store, in threads."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import ParamSpec, Protocol, TypeVar

from market.domain.candle import Candle
from market.domain.freshness import is_withheld
from market.domain.series import SeriesId
from market.domain.store import CandleStore, SeriesState
from market.live.topic import Topic

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


class RunBlocking(Protocol):
    """Runs a blocking function in a thread."""

    async def __call__(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T: ...


class RepairGap(Protocol):
    """Asks ingest to fetch a gap from the exchange; True when candles were stored."""

    async def __call__(self, series: SeriesId, start: int, end: int) -> bool: ...


class StoreReads:
    """Reads of closed candles in the order they are delivered, at most `limit` at a time.

    With `repair_gap`, a gap before the first row is fetched from the exchange first, and at most
    `repair_limit` candles of it are read back.
    """

    def __init__(
        self,
        store: CandleStore,
        run_blocking: RunBlocking,
        *,
        limit: int,
        repair_gap: RepairGap | None,
        repair_limit: int,
        now: Callable[[], float],
    ) -> None:
        self._store = store
        self._run = run_blocking
        self._repair_gap = repair_gap
        self._repair_limit = repair_limit
        self._now = now
        self._shared: dict[tuple[object, ...], asyncio.Task[list[Candle]]] = {}
        self.limit = limit

    def wants_repair(self, series: SeriesId, cursor: int | None, first: int) -> bool:
        """Whether ingest may fill the gap between a cursor and the next candle."""
        if self._repair_gap is None or cursor is None or cursor <= 0:
            return False
        return first > cursor + series.timeframe.seconds

    async def after(self, topic: Topic, cursor: int | None) -> list[Candle]:
        """Candles after `cursor`, or the newest for None, without one that is still open.

        One that was delivered live is included all the same: a new watcher gets what others have.
        """
        series, head = topic.series, topic.head
        if cursor is None:
            rows = await self._run(self._store.newest, series, self.limit)
        else:
            rows = await self._run(self._store.read_after, series, cursor, self.limit)
        now = self._now()
        while rows and is_withheld(rows[-1].candle_time, series.timeframe, now):
            if head is not None and rows[-1].candle_time <= head:
                break
            rows.pop()
        return await self._with_repair(series, cursor, rows)

    async def after_shared(self, topic: Topic, cursor: int | None) -> list[Candle]:
        """`after`, read once for all that ask for the same at the same time.

        The shared read may have begun before its last caller came, but not before the topic's head
        was delivered, so whatever it misses is still to come live.
        """
        key = (topic.series, cursor, topic.state)
        if (reading := self._shared.get(key)) is None:
            reading = asyncio.create_task(self.after(topic, cursor))
            self._shared[key] = reading
            reading.add_done_callback(lambda _: self._shared.pop(key, None))
        return await asyncio.shield(reading)

    async def state(self, series: SeriesId) -> SeriesState:
        """Head and epoch as stored."""
        return await self._run(self._store.state, series)

    async def closed_state(self, series: SeriesId) -> SeriesState:
        """Head and epoch, where the head is the newest closed candle."""
        state = await self.state(series)
        now = self._now()
        if state.head is None or not is_withheld(state.head, series.timeframe, now):
            return state
        closed = series.timeframe.latest_closed(now)
        return state._replace(head=await self._run(self._store.floor, series, closed))

    async def up_to(self, topic: Topic, state: SeriesState) -> SeriesState:
        """A state with the newest stored candle up to the topic's head as its head."""
        if topic.head is None:
            return state._replace(head=None)
        return state._replace(head=await self._run(self._store.floor, topic.series, topic.head))

    async def states(self, series: Iterable[SeriesId]) -> dict[SeriesId, SeriesState]:
        """Heads and epochs of many series in one query."""
        return await self._run(self._store.states, list(series))

    async def revised_since(self, series: SeriesId, epoch: int) -> int | None:
        """The earliest time that was revised after `epoch`; None if none was."""
        return await self._run(self._store.revised_since, series, epoch)

    async def _with_repair(
        self, series: SeriesId, cursor: int | None, rows: list[Candle]
    ) -> list[Candle]:
        if not rows or not self.wants_repair(series, cursor, rows[0].candle_time):
            return rows
        assert self._repair_gap is not None and cursor is not None
        timeframe = series.timeframe
        start, end = timeframe.close_of(cursor), timeframe.moved(rows[0].candle_time, -1)
        try:
            if not await self._repair_gap(series, start, end):
                return rows
        except Exception:
            logger.warning("gap of %s not repaired", series, exc_info=True)
            return rows
        limit = self._repair_limit
        found = await self._run(self._store.read_range, series, start, end, limit=limit)
        return [*found, *rows]
