"""A series as it must be in each of its pasts, computed in memory of the candles that were sent.

A revision or a late candle gives a series another past: its epoch grows. What was read of an
earlier past is right if it is what the candles of that past give.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import orjson

from factors.domain.all_factors import FACTORS
from factors.domain.engine import Engine
from factors.engines import Engines
from factors.lazy_json import as_json
from factors.stage import FactorStage
from factors.stores.memory import MemoryFactorLedger
from lab.replay import Object, State, state_of_frame
from market.domain.candle import Candle
from market.domain.series import SeriesId
from market.pipeline import Pipeline
from market.stores.memory import MemoryCandleStore
from overlays.domain.all_renderers import overlay_engine
from overlays.reads import Reads
from overlays.stage import OverlayStage
from overlays.stores.memory import MemoryOverlayLedger


class Past:
    """The candles of a series while its epoch was the same, and the state that each bar must show.

    Candles that were added at the head meanwhile belong to the same past.
    """

    def __init__(self, series: SeriesId, candles: dict[int, Candle]) -> None:
        self.candles = dict(candles)
        self._series = series
        self._states: dict[tuple[int, int], State] = {}

    @cached_property
    def times(self) -> list[int]:
        """All open times, ascending; no candle may be added afterwards."""
        return sorted(self.candles)

    def between(self, first: int, last: int) -> list[Candle]:
        """The candles from one open time to another, both inclusive."""
        times = self.times
        span = times[bisect.bisect_left(times, first) : bisect.bisect_right(times, last)]
        return [self.candles[time] for time in span]

    def floor(self, time: int) -> int:
        """The open time of the last candle up to a time; the time itself before the first one."""
        place = bisect.bisect_right(self.times, time)
        return self.times[place - 1] if place else time

    def state(self, time: int, *, window: int) -> State:
        """The state at a candle, with a window of so many candles."""
        if (time, window) not in self._states:
            frame = orjson.loads(
                as_json(self._reads.frame_at(self._series, time, window=window).body)
            )
            reach = window * self._series.timeframe.seconds
            self._states[time, window] = state_of_frame(frame, reach)
        return self._states[time, window]

    def fits(
        self, shown: Sequence[tuple[Object, State | None]], span: tuple[int, int], window: int
    ) -> bool:
        """Whether candles, some with their states, are all that there are in a span of times."""
        expected = [tuple(each) for each in self.between(*span)]
        if [tuple(candle.values()) for candle, _ in shown] != expected:
            return False
        return all(
            state is None or state == self.state(candle["time"], window=window)
            for candle, state in shown
        )

    @cached_property
    def _reads(self) -> Reads:
        store, facts, drawings = MemoryCandleStore(), MemoryFactorLedger(), MemoryOverlayLedger()
        engines = Engines(Engine(FACTORS))
        stages: list[Any] = [
            FactorStage(engines, facts, candles=store, rebuilds=True),
            OverlayStage(
                drawings,
                engine=overlay_engine(),
                fingerprint_of=lambda fingerprint: fingerprint,
                facts=facts,
                candles=store,
            ),
        ]
        Pipeline(store, stages).ingest(self._series, [self.candles[time] for time in self.times])
        return Reads(store, facts, drawings, engines.default.factors)
