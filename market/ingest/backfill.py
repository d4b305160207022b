"""Fetching history into the store page by page, and recording the holes that remain."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from market import blocking, runtime
from market.committer import Committer
from market.domain.candle import Candle
from market.domain.change import Change
from market.domain.feed import FeedError, FeedRefused, HistoryPage, HistorySource, Hole
from market.domain.gaps import merged
from market.domain.series import SeriesId
from market.domain.store import CandleStore, Fence
from market.ingest import derive
from market.ingest.gap_ledger import GapLedger, ledger
from market.ingest.gap_ranges import (
    Evidence,
    GapEntry,
    GapState,
    Range,
    common,
    without_all,
)
from market.models import REASON_LENGTH

OnPage = Callable[[HistoryPage], object]

# Candles behind the head that are stored together. Each addition to the past makes factors compute
# from there to the head again, and watchers read it again: with one for each page, a candle would
# cost the more the longer the history behind it is.
PAST_AT_ONCE = 10_000

# Why candles are missing, where the exchange gave no other reason.
NOT_ASKED = "not asked for yet"
UNREACHABLE = "exchange unreachable"
REASONS = {
    GapState.QUIET: "nothing was traded",
    GapState.UNSERVED: "too old for the exchange",
    GapState.UNANSWERED: "not in the answer",
    GapState.DROPPED: "rows were refused",
}


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
    their first and last open time; `through` is the newest open time that the exchange returned;
    `reasons` has the first reason of each kind of hole that was met.
    """

    stored: int
    missing_ranges: list[Range]
    through: int | None
    reasons: Mapping[GapState, str] = {}


async def fill(
    feed: HistorySource,
    series: SeriesId,
    start: int,
    end: int,
    *,
    fence: Fence | None = None,
    on_page: OnPage | None = None,
    ports: IngestPorts | None = None,
) -> FillResult:
    """Fetch ``start..end`` (open times, inclusive), store it and publish the changes.

    A page that reaches the head is a transaction of its own, those before it are stored together,
    at least PAST_AT_ONCE candles at a time; so an interrupted fill is resumed by another one. Holes
    go into the gap ledger with the reason that their page has; when a FeedError is raised, what
    came before it is stored, and what was not asked for is open. Raises FeedError and its kinds,
    PipelineError and StaleFence. For a derived series its base is filled. What retention removes is
    not fetched.
    """
    series, start, end = derive.source_range(series, start, end)
    ports = ports or runtime_ports()
    stored, through = 0, None
    head = (await blocking.run(ports.store.state, series)).head
    if series.timeframe in runtime.retention_bounds():
        start = max(start, runtime.oldest_wanted(series, max(head or 0, end)))
        if start > end:
            return FillResult(0, [], None)
    notes = HoleNotes(ports, series, (start, end))
    try:
        async for pages in _together(feed.history(series, start, end), head):
            candles = [candle for page in pages for candle in page.candles]
            if candles:
                stored += await store_batch(ports, series, candles, fence=fence)
                through = candles[-1].candle_time
            for page in pages:
                await notes.take(page)
                if on_page is not None:
                    on_page(page)
    except FeedError as error:
        refusal = str(error) if isinstance(error, FeedRefused) else ""
        state = GapState.UNSERVED if refusal else GapState.OPEN
        await blocking.run(notes.end, state, refusal or UNREACHABLE)
        raise
    missing = await blocking.run(notes.end, GapState.OPEN, NOT_ASKED)
    return FillResult(stored, missing, through, notes.reasons)


async def _together(
    history: AsyncIterator[HistoryPage], head: int | None
) -> AsyncIterator[list[HistoryPage]]:
    """The pages that are stored at once; an error comes behind the pages before it."""
    pages: list[HistoryPage] = []
    count = 0
    try:
        async for page in history:
            pages.append(page)
            count += len(page.candles)
            if head is None or page.asked[1] >= head or count >= PAST_AT_ONCE:
                yield pages
                pages, count = [], 0
    except FeedError:
        if pages:
            yield pages
        raise
    if pages:
        yield pages


async def store_batch(
    ports: IngestPorts, series: SeriesId, candles: Sequence[Candle], *, fence: Fence | None
) -> int:
    """Ingest candles and publish the change; return how many were new or changed."""
    change = await ports.committer.ingest(series, candles, fence=fence)
    if not change.is_empty:
        await ports.publisher.publish_change(change)
    return len(change.fresh) + len(change.past)


class HoleNotes:
    """Brings the gap ledger up to date with the pages of one fill."""

    def __init__(self, ports: IngestPorts, series: SeriesId, span: Range) -> None:
        self.reasons: dict[GapState, str] = {}
        self._ports = ports
        self._series = series
        self._span = span
        self._asked: list[Range] = []
        # These wait for a page with candles: the ledger knows no series that never had one.
        self._known: list[GapEntry] = []
        # Recorded when candles are stored on both sides, at the end.
        self._unanswered: list[GapEntry] = []

    async def take(self, page: HistoryPage) -> None:
        """Count a page, whose candles are stored, as asked for, and record its holes."""
        step = self._series.timeframe.seconds
        self._asked = merged(sorted([*self._asked, page.asked]), reach=step)
        if self._unanswered and self._unanswered[-1].to_time >= page.asked[0]:
            # Asked for again: the newer answer counts.
            first, last = page.asked[0] - step, page.asked[1] + step
            parts = [
                part
                for entry in self._unanswered
                for part in (entry.part(0, first), entry.part(last, entry.to_time))
            ]
            self._unanswered = [part for part in parts if part is not None]
        if page.holes:
            await blocking.run(self._note, page)

    def _note(self, page: HistoryPage) -> None:
        times = [candle.candle_time for candle in page.candles]
        missing = missing_between(self._ports.store, self._series, page.asked)
        spans = [(hole.from_time, hole.to_time) for hole in page.holes]
        for (start, end), number in common(spans, missing):
            entry = self._entry(page.holes[number], page.asked, times)
            entry = replace(entry, from_time=start, to_time=end)
            self.reasons.setdefault(entry.state, entry.reason)
            is_known = entry.state is not GapState.UNANSWERED
            (self._known if is_known else self._unanswered).append(entry)
        if page.candles:
            self._ports.ledger.record(*self._known)
            self._known.clear()

    def _entry(self, hole: Hole, asked: Range, times: Sequence[int]) -> GapEntry:
        state = GapState(hole.why.value)
        bars = None
        if state is GapState.QUIET:
            # At an end of the window the answer's candle lies just outside of it.
            index, step = bisect_left(times, hole.from_time), self._series.timeframe.seconds
            bars = (
                times[index - 1] if index else hole.from_time - step,
                times[index] if index < len(times) else hole.to_time + step,
            )
        return GapEntry(
            series=self._series,
            from_time=hole.from_time,
            to_time=hole.to_time,
            reason=hole.detail[:REASON_LENGTH] or REASONS[state],
            state=state,
            rows=hole.rows,
            evidence=Evidence(asked=asked, bars=bars),
        )

    def end(self, state: GapState, reason: str) -> list[Range]:
        """Record what the pages left; return the holes between stored candles. Blocking.

        Holes that no page asked for get `state`. Recorded holes that are stored by now become
        repaired.
        """
        settle_stored(self._ports, self._series, self._span)
        holes = holes_between(self._ports.store, self._series, self._span)
        self._unanswered.sort(key=lambda entry: entry.from_time)
        waiting = [(entry.from_time, entry.to_time) for entry in self._unanswered]
        unasked = without_all(self._span, self._asked, self._series.timeframe.seconds)
        self._ports.ledger.record(
            *self._known,
            *(
                replace(self._unanswered[number], from_time=start, to_time=end)
                for (start, end), number in common(waiting, holes)
            ),
            *(
                noted_hole(self._series, part, state=state, reason=reason)
                for part, _ in common(unasked, holes)
            ),
        )
        return holes


def noted_hole(series: SeriesId, hole: Range, *, state: GapState, reason: str) -> GapEntry:
    """An entry for a hole without evidence."""
    return GapEntry(series=series, from_time=hole[0], to_time=hole[1], reason=reason, state=state)


def settle_stored(ports: IngestPorts, series: SeriesId, span: Range) -> None:
    """Mark recorded holes within `span` as repaired where they are stored by now. Blocking."""
    states = set(GapState) - {GapState.REPAIRED}
    noted = ports.ledger.entries(series, states=states, within=span)
    if not noted:
        return
    step = series.timeframe.seconds
    missing = missing_between(ports.store, series, span)
    # Both ascend, so each range is looked at once.
    parts = [part for entry in noted if (part := entry.part(*span)) is not None]
    stored = without_all(span, missing, step)
    spans = [(part.from_time, part.to_time) for part in parts]
    ports.ledger.record(
        *(
            replace(
                parts[number],
                from_time=start,
                to_time=end,
                state=GapState.REPAIRED,
                evidence=None,
                rows=0,
            )
            for (start, end), number in common(spans, stored)
        )
    )


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
