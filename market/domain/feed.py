"""The port of an exchange: history by pages, and live candles as events.

A follower loses nothing: when events may have been missed the feed sends `Interrupted`, and the
follower reads them through `history`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from market.domain.candle import Candle
from market.domain.explained import Explained
from market.domain.series import SeriesId


class FeedError(Exception):
    """The exchange is unreachable or its answer is invalid; a retry may help."""


class FeedRefused(Explained, FeedError):
    """The exchange does not exist or has no such series; a retry is useless.

    `code` names what it does not have.
    """

    code = "not_listed"


class UnknownExchange(FeedRefused):
    """No exchange of that name is known."""

    code = "unknown_exchange"


class UnknownMarket(FeedRefused):
    """An exchange has no such market."""

    code = "unknown_market"


class UnknownSymbol(FeedRefused):
    """The market of an exchange does not list the symbol."""

    code = "unknown_symbol"


class UnknownTimeframe(FeedRefused):
    """The exchange has no candles of that length."""

    code = "unknown_timeframe"


class TradesNotServed(FeedRefused):
    """An exchange's trades can't be read from a given time on."""

    code = "trades_not_served"


class RateLimited(FeedError):
    """The exchange refuses requests for `retry_after_s` seconds."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Missing(StrEnum):
    """Why candles that were asked for are not in the answer."""

    QUIET = "quiet"
    """One answer has candles on both sides: nothing was traded. Final."""
    UNSERVED = "unserved"
    """Too old for this endpoint of the exchange."""
    UNANSWERED = "unanswered"
    """The answer was empty or unreadable: ask again later."""
    DROPPED = "dropped"
    """Our check refused the rows that the exchange sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hole:
    """Missing candles, by the open times of the first and the last one (inclusive).

    `detail` is for people: the reason of the first refused row, or what the exchange refused.
    `rows` counts the refused rows of a DROPPED hole.
    """

    from_time: int
    to_time: int
    why: Missing
    detail: str = ""
    rows: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryPage:
    """One answer of an exchange.

    `candles` are closed, checked, on the grid, ascending, each once. `asked` are the open times of
    the first and the last candle that the request asked for. `holes` cover every candle of `asked`
    that is missing, in ascending order.
    """

    candles: list[Candle]
    asked: tuple[int, int]
    holes: tuple[Hole, ...] = ()


@dataclass(frozen=True, slots=True)
class Closed:
    """A candle that has closed (the exchange may still revise it)."""

    series: SeriesId
    candle: Candle


@dataclass(frozen=True, slots=True)
class Forming:
    """The present values of a candle that is still open."""

    series: SeriesId
    candle: Candle


@dataclass(frozen=True, slots=True)
class Interrupted:
    """Earlier events of this series, or of all for None, may be missing."""

    series: SeriesId | None
    reason: str


class SourceKind(StrEnum):
    """How live candles arrive; the values are shown by ingest_state."""

    STREAM = "stream"
    POLL = "poll"


NO_STREAM = "the exchange has no stream of candles"
"""The reason of a source where nothing is wrong: all its series are polled."""


@dataclass(frozen=True, slots=True)
class Source:
    """How the live candles of a series arrive, and why not by a stream (empty when they do)."""

    kind: SourceKind
    reason: str = ""


FeedEvent = Closed | Forming | Interrupted


class HistorySource(Protocol):
    """Where the history of series is read."""

    def history(self, series: SeriesId, start: int, end: int) -> AsyncIterator[HistoryPage]:
        """Closed candles with ``start <= candle_time <= end``, page by page, ascending.

        Empty answers are pages as well. Candles that have not closed yet are no holes. Raises
        FeedError and its subclasses; pages yielded before the error are valid.
        """
        ...


class Feed(HistorySource, Protocol):
    """One market of one exchange, bound to the event loop that uses it first."""

    exchange: str
    market: str

    async def now(self) -> float:
        """The exchange's clock in Unix seconds, in doubt a little behind."""
        ...

    def page_candles(self, series: SeriesId) -> int:
        """How many candles one request for history brings at most."""
        ...

    async def follow(
        self, series: frozenset[SeriesId], *, pinned: frozenset[SeriesId] = frozenset()
    ) -> None:
        """Make this the followed set, without interrupting series that stay in it.

        Returns at once. What happens to other series must not interrupt the `pinned` ones. A
        series that the exchange does not have gives no events; `history` raises the reason.
        """
        ...

    def events(self) -> AsyncIterator[FeedEvent]:
        """Events of the followed series, in order per series, until the feed is closed."""
        ...

    def is_halted(self, series: SeriesId) -> bool:
        """Whether the exchange lists the market of a series as halted or delisted.

        From memory, as of when its listing was read last; False before that.
        """
        ...

    def source(self, series: SeriesId) -> Source | None:
        """How the live candles of a followed series arrive; None while that is not decided."""
        ...

    async def close(self) -> None:
        """Disconnect and free all resources; events() ends."""
        ...
