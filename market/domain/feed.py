"""The port of an exchange: history by pages, and live candles as events.

Whoever follows a series through this port loses nothing: whenever events may have been missed the
feed says so with `Interrupted`, and what was missed is read again through `history`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from market.domain.candle import Candle
from market.domain.series import SeriesId


class FeedError(Exception):
    """The exchange could not be reached or did not answer sensibly; trying again may help."""


class FeedRefused(FeedError):
    """The exchange has no such series, or nobody knows such an exchange; trying again is no use."""


class RateLimited(FeedError):
    """The exchange asks to be left alone for `retry_after_s` seconds."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Closed:
    """A candle that will not trade again (the exchange may still revise it)."""

    series: SeriesId
    candle: Candle


@dataclass(frozen=True, slots=True)
class Forming:
    """The state of a candle that is still open."""

    series: SeriesId
    candle: Candle


@dataclass(frozen=True, slots=True)
class Interrupted:
    """Events of this series, or of all with None, may be missing from here on backwards."""

    series: SeriesId | None
    reason: str


FeedEvent = Closed | Forming | Interrupted


class Feed(Protocol):
    """One market of one exchange. All of it belongs to the event loop that first used it."""

    exchange: str
    market: str

    async def now(self) -> float:
        """The exchange's clock in Unix seconds, rather a little late than early."""
        ...

    def history(self, series: SeriesId, start: int, end: int) -> AsyncIterator[list[Candle]]:
        """Closed candles with ``start <= candle_time <= end``, page by page, ascending.

        Only checked candles on the grid, each once. Raises FeedError and its kinds; what was
        given out before the error stays good.
        """
        ...

    async def follow(self, series: frozenset[SeriesId]) -> None:
        """Make this the followed set; what was followed before and still is goes on undisturbed.

        Returns at once. A series the exchange does not have gives no events; `history` says why.
        """
        ...

    def events(self) -> AsyncIterator[FeedEvent]:
        """What happens to the followed series, in order per series, until the feed is closed."""
        ...

    async def close(self) -> None:
        """Hang up and free everything; events() ends."""
        ...
