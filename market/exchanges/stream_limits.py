"""How patient the streams are, and how long they wait before they try again."""

from __future__ import annotations

import random
from dataclasses import dataclass

from market.domain.timeframe import Timeframe


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLimits:
    """All in seconds. A series that says nothing for its patience is taken to be broken.

    The patience is three candles, but at least `patience`; for candles of up to five seconds it is
    `fast_patience`. It doubles, up to `longest_patience`, while a series stays quiet.
    """

    patience: float = 30.0
    fast_patience: float = 10.0
    longest_patience: float = 3_600.0
    check_every: float = 0.5
    first_retry: float = 0.5
    longest_retry: float = 30.0
    # A symbol's share of a socket: far below the 1024 that Binance allows.
    series_a_socket: int = 100

    def patience_of(self, timeframe: Timeframe) -> float:
        """How long a series of this timeframe may be quiet."""
        if timeframe.seconds <= 5:
            return self.fast_patience
        return max(self.patience, 3.0 * timeframe.seconds)

    def retry_after(self, failures: int) -> float:
        """The wait after so many failures in a row (1 and up), with jitter."""
        longest = min(self.longest_retry, self.first_retry * 2.0 ** min(failures - 1, 16))
        return longest * random.uniform(0.5, 1.0)
