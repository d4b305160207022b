"""What the factors said, candle by candle: from their ledger, and from the batch under way."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from factors.domain.facts import Event, Head, ReadCandles
from factors.domain.ledger import FactorLedger, Told
from factors.domain.ledger import Tick as FactorTick
from factors.stored_candles import StoredCandles
from market.domain.candle import Candle
from market.domain.series import SeriesId
from overlays.domain.renderer import Tick, tick

PAGE = 2000


@dataclass(frozen=True, slots=True)
class FactorTicks:
    """The ticks of one series as the open transaction will leave them."""

    series: SeriesId
    ledger: FactorLedger
    candles: StoredCandles
    told: Told

    def between(self, after: int, end: int) -> Iterator[Tick]:
        """The ticks of every candle later than `after` up to `end`, quiet ones too."""
        own = self.told.ticks
        first = own[0].candle_time if own else self.told.head_time + 1
        yield from self._stored(after, min(end, first - 1))
        yield from self.given([each for each in own if after < each.candle_time <= end])

    def given(self, ticks: Sequence[FactorTick]) -> Iterator[Tick]:
        """Ticks of the batch as the renderers take them."""
        read = self.candles.between
        for time, (events, heads) in ticks:
            yield tick(time, events, heads, read=read)

    def _stored(self, after: int, end: int) -> Iterator[Tick]:
        while after < end:
            page = [each for each in self.candles.after(after, PAGE) if each.candle_time <= end]
            if not page:
                return
            yield from _ticks_of(self.series, self.ledger, page, read=self.candles.between)
            after = page[-1].candle_time


def _ticks_of(
    series: SeriesId, ledger: FactorLedger, page: Sequence[Candle], *, read: ReadCandles
) -> Iterator[Tick]:
    span = page[0].candle_time, page[-1].candle_time
    events: defaultdict[int, list[Event]] = defaultdict(list)
    heads: defaultdict[int, list[Head]] = defaultdict(list)
    for event in ledger.events(series, *span):
        events[event.candle_time].append(event)
    for head in ledger.heads(series, *span):
        heads[head.candle_time].append(head)
    for time, *_ in page:
        yield tick(time, events.get(time, ()), heads.get(time, ()), read=read)
