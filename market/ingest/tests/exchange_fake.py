"""A scripted feed, a recording publisher and failing stores for tests of following."""

from __future__ import annotations

import asyncio
from collections import defaultdict

from market.committer import Committer
from market.domain.candle import Candle
from market.domain.feed import (
    Closed,
    FeedRefused,
    Forming,
    HistoryPage,
    Hole,
    Interrupted,
    Missing,
)
from market.domain.series import SeriesId
from market.ingest.backfill import IngestPorts
from market.ingest.gap_ledger import MemoryGapLedger
from market.pipeline import Pipeline
from market.stores.memory import MemoryCandleStore
from market.tests.builders import history_page

START = 1_700_000_040
STEP = 60
SERIES = SeriesId.parse("binance:spot:BTC/USDT:1m")
OTHER = SeriesId.parse("binance:spot:ETH/USDT:1m")


def at(number):
    """The open time of candle number `number`."""
    return START + number * STEP


def candle_at(number, price=100.0):
    """The candle number `number` of the test's market, or another state of it."""
    return Candle(at(number), price, price + 2, price - 2, price + 1, 1.0 + number)


def unserved_page(start, end):
    """What an exchange answers about times that are too old for it."""
    hole = Hole(from_time=start, to_time=end, why=Missing.UNSERVED, detail="at most 720 candles")
    return HistoryPage(candles=[], asked=(start, end), holes=(hole,))


class FakeFeed:
    """An exchange whose truth is `candles`, whose clock is set, and whose stream is scripted.

    Each item of `faults` is raised by one read of history after `pages_before_fault` pages. What is
    before `served_from` is not served by REST, and a read from before `refuses_before` is refused.
    """

    exchange = "binance"
    market = "spot"

    def __init__(self, page=3):
        self.candles = defaultdict(dict)
        self.time = float(START)
        self.page = page
        self.faults = []
        self.pages_before_fault = 0
        self.served_from = self.refuses_before = 0
        self.reads = []
        self.followed = self.pinned = self.halted = frozenset()
        self.gates = {}
        self.sources = {}
        self.closed = False
        self.gate = None
        self._queue = asyncio.Queue()

    def add_candle(self, number, price=100.0, series=SERIES):
        """Add a closed candle to the exchange and advance its clock."""
        candle = candle_at(number, price)
        self.candles[series][candle.candle_time] = candle
        self.time = max(self.time, candle.candle_time + STEP)
        return candle

    def send_closed(self, candle, series=SERIES):
        self._queue.put_nowait(Closed(series, candle))

    def send_forming(self, candle, series=SERIES):
        self._queue.put_nowait(Forming(series, candle))

    def send_interrupted(self, series=None):
        self._queue.put_nowait(Interrupted(series, "test"))

    def source(self, series):
        return self.sources.get(series)

    async def now(self):
        return self.time

    def page_candles(self, series):
        return self.page

    async def history(self, series, start, end):
        self.reads.append((series, start, end))
        if series.symbol == "NO/SUCH" or start < self.refuses_before:
            raise FeedRefused("no such symbol")
        for gate in filter(None, (self.gate, self.gates.get(series))):
            await gate.wait()
        fault = self.faults.pop(0) if self.faults else None
        known = self.candles[series]
        end = min(end, series.timeframe.latest_closed(self.time))
        if start < self.served_from:
            yield unserved_page(start, min(end, self.served_from - STEP))
            start = self.served_from
        wanted = [known[time] for time in sorted(known) if start <= time <= end]
        step = series.timeframe.seconds
        for number, first in enumerate(range(0, len(wanted), self.page)):
            if fault is not None and number >= self.pages_before_fault:
                raise fault
            await asyncio.sleep(0)
            found = wanted[first : first + self.page]
            is_last = first + self.page >= len(wanted)
            asked = (start, end if is_last else found[-1].candle_time)
            yield history_page(found, asked, series)
            start = asked[1] + step
        if fault is not None:
            raise fault

    async def follow(self, series, *, pinned=frozenset()):
        self.followed, self.pinned = series, pinned

    def is_halted(self, series):
        return series in self.halted

    async def events(self):
        while (event := await self._queue.get()) is not None:
            yield event

    async def close(self):
        self.closed = True
        self._queue.put_nowait(None)


class Published:
    """Records what was published, in order."""

    def __init__(self):
        self.changes = []
        self.fresh = defaultdict(list)
        self.forming = []
        self.order = []

    async def publish_change(self, change):
        self.changes.append(change)
        self.fresh[change.series] += [candle.candle_time for candle in change.fresh]
        self.order += [("closed", candle.candle_time) for candle in change.fresh]

    async def publish_forming(self, series, candle):
        self.forming.append((series, candle))
        self.order.append(("forming", candle.candle_time))


class FlakyPipeline(Pipeline):
    """Raises the exceptions in `faults`, one for each batch, before it works."""

    def __init__(self, store):
        super().__init__(store)
        self.faults = []
        self.batches = []

    def ingest(self, series, candles, *, fence=None):
        candles = list(candles)
        if self.faults:
            raise self.faults.pop(0)
        self.batches.append(candles)
        return super().ingest(series, candles, fence=fence)


def memory_ports():
    """Memory behind every port."""
    store = MemoryCandleStore()
    return IngestPorts(
        store=store,
        committer=Committer(FlakyPipeline(store)),
        ledger=MemoryGapLedger(),
        publisher=Published(),
    )


def stored(ports, series=SERIES):
    """Everything in the store."""
    return ports.store.read_after(series, -1, 100_000)
