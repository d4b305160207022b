"""Makes the candles of derived series from the stored candles of their base.

The store is the only source, and the derived book names what is done: so neither a restart nor the
order in which base candles arrive can matter. Each transaction locks the derived series first and
reads the base after that; of two processes, the later one sees all that the earlier one saw.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from market.domain.candle import Candle
from market.domain.change import Change
from market.domain.derived import BEGINNING, DerivedBook, Incomplete, Progress, Span
from market.domain.rollup import DerivedTimeframes, roll_up
from market.domain.series import SeriesId
from market.domain.store import CandleStore, SeriesState, SeriesWriter
from market.domain.timeframe import Timeframe
from market.pipeline import Make, Pipeline

# The base candles that one transaction reads: a tenth of a second, and some megabytes.
CHUNK = 50_000
# A first fill makes so many derived candles, unless that takes more base candles than the limit.
FIRST_BUCKETS = 300
FIRST_LIMIT = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Derivation:
    """Derives series of some timeframes; every method that writes is blocking.

    `first_candles` is how many of the newest base candles a first fill reads at least. With
    `keeps_partial` a bucket that is over becomes a candle although base candles are missing.
    """

    store: CandleStore
    pipeline: Pipeline
    book: DerivedBook
    timeframes: DerivedTimeframes
    first_candles: int = 2000
    keeps_partial: bool = False

    def due(self, change: Change) -> list[SeriesId]:
        """The derived series that a committed change of their base affects: a bucket is over.

        Those whose bucket is still open are not: a later change finds what is left to do.
        """
        base, head = change.series.timeframe, change.state.head
        derived = self.timeframes.derived_of(change.series)
        if not derived or head is None or change.is_empty:
            return []
        oldest = (change.past or change.fresh)[0].candle_time
        over_until = base.close_of(head)
        due = []
        for each in derived:
            end = _end_of_bucket(each.timeframe, oldest)
            before = change.predecessor
            if before is not None and not change.past:
                # The bucket of the head before ends without its last candles.
                end_before = _end_of_bucket(each.timeframe, before)
                end = end_before if base.close_of(before) < end_before else end
            if end <= over_until:
                due.append(each)
        return due

    def bring_up(self, series: SeriesId, change: Change | None = None) -> Iterator[Change]:
        """Make what is missing or outdated in a derived series; yield each committed change.

        `change` is the base's newest change, if there is one: with it only the buckets that it
        touched are made again. Raises PipelineError.
        """
        for work in self.work(series, change):
            yield self.pipeline.ingest_made(series, work)

    def work(self, series: SeriesId, change: Change | None = None) -> Iterator[Make]:
        """What `bring_up` has stored: what makes the candles of each transaction, one by one.

        The next is only to be asked for once the one before is committed.
        """
        run = _Run(self, series, change)
        while not run.is_done:
            yield run.candles
        if change and change.past and run.since > change.past[0].candle_time:
            yield from self._extension(series)

    def extend(self, series: SeriesId) -> Iterator[Change]:
        """Make the candles of the base's history before what a first fill read; newest first."""
        for work in self._extension(series):
            yield self.pipeline.ingest_made(series, work)

    def _extension(self, series: SeriesId) -> Iterator[Make]:
        run = _Extension(self, series)
        while not run.is_done:
            yield run.candles

    def is_behind(self, series: SeriesId, progress: Progress, state: SeriesState) -> bool:
        """Whether a derived series lacks something that its base in this state has."""
        is_unfilled = state.head is not None and progress.since > BEGINNING
        return is_unfilled or self.overdue_since(series, progress, state) is not None

    def overdue_since(self, series: SeriesId, progress: Progress, state: SeriesState) -> int | None:
        """Since when the oldest bucket is over that is not made of the base in this state.

        0 where base candles were revised since; None if there is no such bucket, the history before
        a first fill aside.
        """
        if state.head is None:
            return None
        base = self.timeframes.base
        if progress.epoch < state.epoch:
            return 0
        end = _end_of_bucket(series.timeframe, base.close_of(progress.head))
        return end if end <= base.close_of(state.head) else None


class _Work:
    """What both kinds of work do in each of their transactions."""

    def __init__(self, derivation: Derivation, series: SeriesId) -> None:
        self.is_done = False
        self._with = derivation
        self._series = series
        self._base = series.with_timeframe(derivation.timeframes.base)
        # Of the latest transaction; a retry begins anew.
        self._made: list[Candle] = []
        self._spans: list[Span] = []
        self._incomplete: list[Incomplete] = []

    def _begin(self) -> None:
        self._made, self._spans, self._incomplete = [], [], []

    def _make(self, span: Span, over_until: int) -> int:
        """Make the first buckets of a span; return where the next begins.

        Buckets that close after `over_until` are left alone.
        """
        rows = self._with.store.read_range(self._base, span.start, span.end - 1, limit=CHUNK)
        end = span.end
        if len(rows) == CHUNK:
            end = self._series.timeframe.open_of(rows[-1].candle_time)
            if end <= span.start:
                # One bucket alone is larger.
                end = self._series.timeframe.close_of(span.start)
                rows = self._with.store.read_range(
                    self._base, span.start, end - 1, limit=end - span.start
                )
            rows = [row for row in rows if row.candle_time < end]
        for bucket in roll_up(rows, self._base.timeframe, self._series.timeframe):
            candle, found, expected = bucket.candle, bucket.found, bucket.expected
            is_over = self._series.timeframe.close_of(candle.candle_time) <= over_until
            if not is_over or candle.candle_time < 0:
                continue
            if not bucket.is_whole and candle.candle_time < self._with.store.kept_from(self._base):
                # Retention removed base candles of it: what was made of them stays.
                continue
            if bucket.is_whole or self._with.keeps_partial:
                self._made.append(candle)
            if not bucket.is_whole:
                self._incomplete.append(Incomplete(candle.candle_time, found, expected))
        self._spans.append(Span(span.start, end))
        return end

    def _record(self, writer: SeriesWriter, progress: Progress) -> None:
        self._with.book.record(writer, progress, spans=self._spans, incomplete=self._incomplete)


class _Run(_Work):
    """Brings one derived series up to its base, in one transaction or, if that is much, in more."""

    def __init__(self, derivation: Derivation, series: SeriesId, change: Change | None) -> None:
        super().__init__(derivation, series)
        self.since = BEGINNING
        self._change = change
        self._target: SeriesState | None = None
        self._todo: list[Span] = []

    def candles(self, writer: SeriesWriter) -> list[Candle]:
        """The candles of the next transaction."""
        self._begin()
        known = self._with.book.progress(writer)
        if self._target is None:
            target = self._with.store.state(self._base)
            if target.head is None:
                self.is_done = True
                return []
            todo = self._planned(known, target)
        else:
            target, todo = self._target, list(self._todo)
        assert target.head is not None
        over_until = self._base.timeframe.close_of(target.head)
        while todo and len(self._made) < CHUNK:
            span = todo.pop(0)
            end = self._make(span, over_until)
            if end < span.end:
                todo.insert(0, Span(end, span.end))
                break
        self.since = known.since if known else self._first(target.head)
        reached = Progress(self.since, target.head, target.epoch)
        if todo:
            # Until the last transaction the epoch before stays: then a crash leaves all to do.
            before = known or Progress(self.since, todo[0].start - 1, target.epoch)
            reached = before._replace(head=max(before.head, todo[0].start - 1))
        elif known and known[1:] > reached[1:]:
            reached = known
        self._record(writer, reached)
        writer.on_commit(lambda: self._committed(target, todo))
        return self._made

    def _committed(self, target: SeriesState, todo: list[Span]) -> None:
        self._target, self._todo, self.is_done = target, todo, not todo

    def _planned(self, known: Progress | None, target: SeriesState) -> list[Span]:
        """The spans to make, ascending."""
        to, head = self._series.timeframe, target.head
        assert head is not None
        if known is None:
            start = self._first(head) or self._with.store.first(self._base) or 0
            return self._spans_of([], to.open_of(start), head)
        if known.epoch == target.epoch:
            return self._spans_of([], self._tail(known), head)
        change = self._change
        if change and change.past and change.state == target and known.epoch == target.epoch - 1:
            touched = sorted({to.open_of(each.candle_time) for each in change.past})
            touched = [each for each in touched if each >= known.since]
            return self._spans_of(touched, self._tail(known), head)
        revised = self._with.store.revised_since(self._base, known.epoch)
        start = self._tail(known) if revised is None else to.open_of(revised)
        return self._spans_of([], max(known.since, min(start, self._tail(known))), head)

    def _tail(self, known: Progress) -> int:
        """The open of the first bucket that was not over."""
        return self._series.timeframe.open_of(self._base.timeframe.close_of(known.head))

    def _spans_of(self, touched: list[int], start: int, head: int) -> list[Span]:
        to = self._series.timeframe
        spans = [Span(each, to.close_of(each)) for each in touched if each < start]
        end = to.open_of(self._base.timeframe.close_of(head))
        return [*spans, Span(start, end)] if start < end else spans

    def _first(self, head: int) -> int:
        """Where a first fill begins: the open of a bucket, or BEGINNING for all there is."""
        base, to = self._base.timeframe, self._series.timeframe
        wanted = min(FIRST_LIMIT, FIRST_BUCKETS * to.seconds // base.seconds)
        start = head - (max(self._with.first_candles, wanted) - 1) * base.seconds
        first = self._with.store.first(self._base)
        if first is None or first >= start:
            return BEGINNING
        return _end_of_bucket(to, start - 1)


class _Extension(_Work):
    """Makes the history before a first fill, from the newest to the oldest."""

    def candles(self, writer: SeriesWriter) -> list[Candle]:
        """The candles of the next transaction."""
        self._begin()
        known = self._with.book.progress(writer)
        if known is None or known.since == BEGINNING:
            self.is_done = True
            return []
        to = self._series.timeframe
        rows = self._with.store.newest(self._base, CHUNK, up_to=known.since - 1)
        start = BEGINNING
        if len(rows) == CHUNK:
            start = min(_end_of_bucket(to, rows[0].candle_time - 1), to.open_of(known.since - 1))
        if rows:
            first = to.open_of(rows[0].candle_time) if start == BEGINNING else start
            head = self._with.store.state(self._base).head
            over_until = 0 if head is None else self._base.timeframe.close_of(head)
            while first < known.since:
                first = self._make(Span(first, known.since), over_until)
        self._record(writer, known._replace(since=start))
        writer.on_commit(lambda: self._committed(start))
        return self._made

    def _committed(self, start: int) -> None:
        self.is_done = start == BEGINNING


def _end_of_bucket(timeframe: Timeframe, time: int) -> int:
    return timeframe.close_of(timeframe.open_of(time))
