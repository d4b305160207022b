"""Comparing stored candles with the exchange's, and correcting what differs.

`manage.py audit` and the look-back of the followers (market.ingest.revisions) both work with this.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from market import blocking
from market.domain.candle import Candle
from market.domain.feed import Feed, HistoryPage, Missing
from market.domain.series import SeriesId
from market.domain.store import CandleStore, Fence
from market.ingest.backfill import IngestPorts, settle_stored, store_batch

# Stored candles that are compared at a time: an answer may cover a window of any length.
CHUNK = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One open time at which store and exchange differ.

    `stored` is None where the store lacks the exchange's candle, `exchange` where it has one that
    the exchange has not.
    """

    candle_time: int
    stored: Candle | None
    exchange: Candle | None

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that differ, where both have a candle."""
        if self.stored is None or self.exchange is None:
            return ()
        pairs = zip(self.stored, self.exchange, strict=True)
        return tuple(
            name
            for name, (ours, theirs) in zip(Candle._fields, pairs, strict=True)
            if ours != theirs
        )


@dataclass(slots=True)
class AuditReport:
    """What an audit found, in candles.

    `equal`, `differing`, `missing` (the exchange has it, the store has not) and `extra` (the other
    way round) are proven by the exchange's answers. `unproven` counts stored candles that no answer
    covers, by the reason. `by_field` counts differing values, `repaired` what was stored.
    """

    equal: int = 0
    differing: int = 0
    missing: int = 0
    extra: int = 0
    repaired: int = 0
    by_field: Counter[str] = field(default_factory=Counter)
    unproven: Counter[Missing] = field(default_factory=Counter)

    @property
    def compared(self) -> int:
        """How many candles were compared."""
        return self.equal + self.differing + self.missing + self.extra

    @property
    def left(self) -> int:
        """How many candles still differ. Extra ones stay: the audit removes nothing."""
        return self.differing + self.missing + self.extra - self.repaired


OnDifference = Callable[[Difference], object]
OnPage = Callable[[HistoryPage], object]


async def audit(
    feed: Feed,
    series: SeriesId,
    start: int,
    end: int,
    *,
    ports: IngestPorts,
    repair: bool = False,
    fence: Fence | None = None,
    on_difference: OnDifference = lambda difference: None,
    on_page: OnPage = lambda page: None,
    pause_s: float = 0.0,
) -> AuditReport:
    """Compare ``start..end`` (open times, inclusive) page by page; return what was found.

    With `repair` the exchange's candles are stored where they differ or are missing, and the
    changes are published; repeated rows are not written. Between two requests it waits `pause_s`
    seconds. Raises FeedError and its kinds, and with `repair` PipelineError and StaleFence.
    """
    report = AuditReport()
    async for page in feed.history(series, start, end):
        wrong: list[Candle] = []
        cursor, last = page.asked
        while cursor <= last:
            # The answer first, the store second: what changed in between is the newer one.
            ours = await blocking.run(_read, ports.store, series, cursor, last)
            until = ours[-1].candle_time if len(ours) == CHUNK else last
            theirs = [one for one in page.candles if cursor <= one.candle_time <= until]
            for difference in _compared(ours, theirs, page, report):
                on_difference(difference)
                if difference.exchange is not None:
                    wrong.append(difference.exchange)
            cursor = until + series.timeframe.seconds
        if repair and wrong:
            report.repaired += await store_batch(ports, series, wrong, fence=fence)
            span = (wrong[0].candle_time, wrong[-1].candle_time)
            await blocking.run(settle_stored, ports, series, span)
        on_page(page)
        await asyncio.sleep(pause_s)
    return report


def _read(store: CandleStore, series: SeriesId, start: int, end: int) -> list[Candle]:
    return store.read_range(series, start, end, limit=CHUNK)


def _compared(
    ours: Sequence[Candle], theirs: Sequence[Candle], page: HistoryPage, report: AuditReport
) -> Iterator[Difference]:
    """Count how ascending candles of both compare; yield where they differ."""
    stored = {one.candle_time: one for one in ours}
    sent = {one.candle_time: one for one in theirs}
    for time in sorted(stored.keys() | sent.keys()):
        found = Difference(candle_time=time, stored=stored.get(time), exchange=sent.get(time))
        if found.stored is None:
            report.missing += 1
        elif found.exchange is None:
            why = _why(page, time)
            if why is not Missing.QUIET:
                report.unproven[why] += 1
                continue
            report.extra += 1
        elif fields := found.fields:
            report.differing += 1
            report.by_field.update(fields)
        else:
            report.equal += 1
            continue
        yield found


def _why(page: HistoryPage, time: int) -> Missing:
    """Why a page lacks a candle; off the grid, where no hole can be, it is as good as quiet."""
    for hole in page.holes:
        if hole.from_time <= time <= hole.to_time:
            return hole.why
    return Missing.QUIET
