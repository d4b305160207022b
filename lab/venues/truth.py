"""What was really traded at an exchange: every candle of one market, by rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from market.domain.candle import Candle
from market.domain.timeframe import Timeframe

MINUTE = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """Minutes from the `listing` to `now` (Unix seconds), without those that are `quiet`."""

    now: int
    listing: int
    quiet: Callable[[int], bool] = lambda time: False

    def candles(self, first: int, last: int, timeframe: Timeframe) -> list[Candle]:
        """Candles that open from `first` to `last`, inclusive, also the forming one."""
        opened = timeframe.open_of(max(first, self.listing - timeframe.seconds + MINUTE))
        if opened < first:
            opened += timeframe.seconds
        found = []
        for time in range(opened, min(last, self.now) + 1, timeframe.seconds):
            if (candle := self._candle(time, timeframe)) is not None:
                found.append(candle)
        return found

    def _candle(self, time: int, timeframe: Timeframe) -> Candle | None:
        whole = range(max(time, self.listing), min(time + timeframe.seconds, self.now + 1), MINUTE)
        minutes = [_minute(one) for one in whole if not self.quiet(one)]
        if not minutes:
            return None
        return Candle(
            time,
            minutes[0].open,
            max(one.high for one in minutes),
            min(one.low for one in minutes),
            minutes[-1].close,
            sum(one.volume for one in minutes),
        )


def _minute(time: int) -> Candle:
    """A minute whose prices no other one near it has."""
    number = time // MINUTE
    price = 1_000.0 + number % 9_973
    return Candle(time, price, price + 3, price - 2, price + 1, 1.0 + number % 7)
