"""Fetching history into the store page by page, and recording the holes that remain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from market import blocking, runtime
from market.committer import Committer
from market.domain.candle import Candle
from market.domain.change import Change
from market.domain.feed import Feed, FeedError
from market.domain.series import SeriesId
from market.domain.store import CandleStore, Fence
from market.ingest import derive
from market.ingest.gap_ledger import GapLedger, ledger
from market.ingest.gap_ranges import UNSETTLED, GapEntry, GapState, Range, without_all

OnPage = Callable[[Sequence[Candle]], object]


class Publisher(Protocol):
    """Publishes committed changes and forming candles (market.ingest.derive)."""

    async def publish_change(self, change: Change) -> None:
        """Publish a committed change; never raises."""
        ...

    async def publish_forming(self, series: SeriesId, candle: Candle) -> None:
        """Publish a forming candle; never raises."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestPorts:
    """What ingest writes to and reads from."""

    store: CandleStore
    committer: Committer
    ledger: GapLedger
    publisher: Publisher


def runtime_ports() -> IngestPorts:
    """The ports of this process, as the switches say."""
    return IngestPorts(
        store=runtime.candle_store(),
        committer=runtime.committer(),
        ledger=ledger(),
        publisher=derive,
    )


class FillResult(NamedTuple):
    """The result of a fill.

    `stored` counts candles that are new or changed; `missing_ranges` are the holes that remain, by
    their first and last open time; `through` is the newest open time that the exchange returned.
    """

    stored: int
    missing_ranges: list[Range]
    through: int | None


async def fill(
    feed: Feed,
    series: SeriesId,
    start: int,
    end: int,
    *,
    fence: Fence | None = None,
    on_page: OnPage | None = None,
    ports: IngestPorts | None = None,
) -> FillResult:
    """Fetch ``start..end`` (open times, inclusive), store it and publish the changes.

    Each page is a transaction of its own, so an interrupted fill is resumed by another one. Holes
    that remain between stored candles go into the gap ledger: as absent, because the exchange
    answered without them, or as open when a FeedError is raised. Raises FeedError and its kinds,
    PipelineError and StaleFence. For a derived series its base is filled. What retention removes
    is not fetched.
    """
    series, start, end = derive.source_range(series, start, end)
    ports = ports or runtime_ports()
    stored, through = 0, None
    if series.timeframe in runtime.retention_bounds():
        head = (await blocking.run(ports.store.state, series)).head
        start = max(start, runtime.oldest_wanted(series, max(head or 0, end)))
        if start > end:
            return FillResult(0, [], None)
    try:
        async for page in feed.history(series, start, end):
            if not page.candles:
                continue
            stored += await store_batch(ports, series, page.candles, fence=fence)
            through = page.candles[-1].candle_time
            if on_page is not None:
                on_page(page.candles)
    except FeedError:
        await blocking.run(note_holes, ports, series, (start, end), state=GapState.OPEN)
        raise
    missing = await blocking.run(note_holes, ports, series, (start, end), state=GapState.ABSENT)
    return FillResult(stored, missing, through)


async def store_batch(
    ports: IngestPorts, series: SeriesId, candles: Sequence[Candle], *, fence: Fence | None
) -> int:
    """Ingest candles and publish the change; return how many were new or changed."""
    change = await ports.committer.ingest(series, candles, fence=fence)
    if not change.is_empty:
        await ports.publisher.publish_change(change)
    return len(change.fresh) + len(change.past)


def note_holes(
    ports: IngestPorts, series: SeriesId, span: Range, *, state: GapState
) -> list[Range]:
    """Bring the gap ledger up to date within `span`; return the holes there. Blocking.

    Holes are recorded with `state`; recorded holes that are stored by now become filled.
    """
    holes = holes_between(ports.store, series, span)
    noted = ports.ledger.entries(series, states=UNSETTLED)
    if any(entry.part(*span) for entry in noted):
        _settle(ports, series, noted, span=span)
    reason = "not on the exchange" if state is GapState.ABSENT else "exchange unreachable"
    for first, last in holes:
        ports.ledger.record(
            GapEntry(series=series, from_time=first, to_time=last, reason=reason, state=state)
        )
    return holes


def _settle(
    ports: IngestPorts, series: SeriesId, noted: Sequence[GapEntry], *, span: Range
) -> None:
    """Mark recorded holes within `span` as filled where they are stored by now."""
    step = series.timeframe.seconds
    missing = missing_between(ports.store, series, span)
    for entry in noted:
        inside = entry.part(*span)
        if inside is None:
            continue
        for stored in without_all((inside.from_time, inside.to_time), missing, step):
            ports.ledger.set_state(series, stored, state=GapState.FILLED, was=entry.state)


def holes_between(store: CandleStore, series: SeriesId, span: Range) -> list[Range]:
    """The parts of holes between stored candles that lie within `span`. Blocking.

    Times before the first or after the last stored candle are no hole.
    """
    start, end = span
    step = series.timeframe.seconds
    before = store.floor(series, start - 1)
    behind = store.read_after(series, end, 1)
    around = store.gaps(series, before, behind[0].candle_time if behind else None)
    holes = []
    for gap in around:
        count = gap.missing_candles(series.timeframe)
        first, last = gap.prev_time + step, gap.prev_time + count * step
        if count and first <= end and last >= start:
            holes.append((max(first, start), min(last, end)))
    return holes


def missing_between(store: CandleStore, series: SeriesId, span: Range) -> list[Range]:
    """Every candle of `span` (on the grid) that is not stored, as ranges. Blocking."""
    start, end = span
    step = series.timeframe.seconds
    inside = store.read_range(series, start, end, limit=1)
    last = store.floor(series, end)
    if not inside or last is None:
        return [span] if start <= end else []
    first = inside[0].candle_time
    ranges = [(start, first - step), *holes_between(store, series, (first, last))]
    return [one for one in [*ranges, (last + step, end)] if one[0] <= one[1]]


def merged(ranges: Sequence[Range], *, reach: int) -> list[Range]:
    """Ascending ranges; those at most `reach` seconds apart are merged into one request."""
    joined: list[Range] = []
    for first, last in ranges:
        if joined and first - joined[-1][1] <= reach:
            joined[-1] = (joined[-1][0], last)
        else:
            joined.append((first, last))
    return joined
