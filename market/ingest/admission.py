"""Which series a watcher may have followed, decided before there is a row, a token or a lease.

Whitelisted series always are. Any other must be of an exchange that the operator named, be known
(it has candles, or the exchange's listing names it) and fit into the quotas, which the lease store
counts over all web processes: those of one client address, and those of all.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from django.conf import settings

from market import blocking
from market.domain.feed import FeedError, FeedRefused
from market.domain.lease_store import Admission, FollowRefused, Refusal
from market.domain.series import SeriesId
from market.domain.throttle import Throttle
from market.exchanges import listings
from market.exchanges.ccxt_client import LOCAL
from market.exchanges.ccxt_feed import known_exchanges
from market.ingest.desired import followed_whitelist, whitelisted_series
from market.runtime import candle_store, derived_timeframes

ANY_EXCHANGE = "*"
RANKED_ANYWHERE = "binance"
CAPACITY_MESSAGE = "ondemand_ingest_capacity"

# The whitelist, and which unlisted series have no candles, are read at most once in so long: a
# flood of wishes must not become a flood of queries.
KEPT_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionPorts:
    """What admission asks.

    `whitelist` blocks. `has_candles` blocks. `check_listed` raises FeedRefused for a series that
    its exchange does not have, and another FeedError when that can't be known now.
    """

    whitelist: Callable[[], list[SeriesId]]
    has_candles: Callable[[SeriesId], bool]
    check_listed: Callable[[SeriesId], Awaitable[None]]


class Gate:
    """Checks which series may be followed; used from one event loop."""

    def __init__(self, ports: AdmissionPorts) -> None:
        self._ports = ports
        self._reading: asyncio.Task[list[SeriesId]] | None = None
        self._read_at = float("-inf")
        # A series waits here after it was found without candles.
        self._empty: Throttle[SeriesId] = Throttle(KEPT_S)

    async def admit(self, series: SeriesId) -> Admission | None:
        """The limits for the lease of a series that may be followed.

        None when the series is not followed but has candles, which are served all the same. Raises
        FollowRefused, and what reading the whitelist raises.
        """
        if series.exchange not in known_exchanges():
            raise FollowRefused(series, Refusal.CAPACITY, CAPACITY_MESSAGE)
        whitelist = frozenset(await self._whitelist())
        pinned = whitelist if settings.SWITCHES.enable_whitelist_ingest else frozenset()
        if series not in pinned:
            try:
                await self._check(series, whitelist)
            except FollowRefused as refused:
                is_unavailable = refused.code is Refusal.EXCHANGE_UNAVAILABLE
                if is_unavailable or not await self._has_candles(series):
                    raise
                return None
        return limits_of(pinned)

    async def _check(self, series: SeriesId, whitelist: frozenset[SeriesId]) -> None:
        if not is_served(series.exchange, whitelist):
            reason = f"{series.exchange} is not served here"
            raise FollowRefused(series, Refusal.EXCHANGE_NOT_SERVED, reason)
        try:
            await self._ports.check_listed(series)
        except FeedRefused as error:
            raise FollowRefused(series, Refusal.UNKNOWN_SYMBOL, str(error)) from error
        except (FeedError, TimeoutError) as error:
            # What has candles was once listed, and goes on through an outage of the exchange.
            if not await self._has_candles(series):
                reason = f"{series.exchange} can't be asked now whether it has the series"
                raise FollowRefused(series, Refusal.EXCHANGE_UNAVAILABLE, reason) from error

    async def _whitelist(self) -> list[SeriesId]:
        """The whitelist as of a moment ago; those who ask at the same time share one query."""
        reading, now = self._reading, time.monotonic()
        if reading is None or (reading.done() and self._is_outdated(reading, now)):
            reading = self._reading = asyncio.create_task(blocking.run(self._ports.whitelist))
            self._read_at = now
        return await asyncio.shield(reading)

    def _is_outdated(self, reading: asyncio.Task[list[SeriesId]], now: float) -> bool:
        failed = reading.cancelled() or reading.exception() is not None
        return failed or now - self._read_at >= KEPT_S

    async def _has_candles(self, series: SeriesId) -> bool:
        """Whether the store had candles of the series a moment ago."""
        if self._empty.wait_s(series):
            return False
        if await blocking.run(self._ports.has_candles, series):
            return True
        self._empty.admit(series)
        return False


def is_served(exchange: str, whitelist: frozenset[SeriesId]) -> bool:
    """Whether any listed series of the exchange may be followed on demand."""
    named = _named_exchanges()
    if named:
        return not named.isdisjoint({exchange, ANY_EXCHANGE})
    is_local = exchange == LOCAL and settings.SWITCHES.uses_local_exchange
    return is_local or any(each.exchange == exchange for each in whitelist)


def served_exchanges(whitelist: Iterable[SeriesId]) -> list[str]:
    """The exchanges of which series are followed: those of the whitelist, then all others.

    Where the operator named all, those of which a listing is in memory.
    """
    others = set(_named_exchanges())
    if ANY_EXCHANGE in others:
        others.update(listings.listings().exchanges())
    if settings.SWITCHES.uses_local_exchange and is_served(LOCAL, frozenset()):
        others.add(LOCAL)
    listed = dict.fromkeys([*(each.exchange for each in whitelist), *sorted(others)])
    return [exchange for exchange in listed if exchange in known_exchanges()]


def _named_exchanges() -> frozenset[str]:
    """What the operator named, `*` among it."""
    names = settings.SWITCHES.ondemand_exchanges.split(",")
    return frozenset(name.strip() for name in names) - {""}


def is_ranked(exchange: str) -> bool:
    """Whether clients may have the top markets of an exchange. Blocking.

    Each market of an exchange that is ranked takes tens of megabytes, so strangers do not choose
    which. Clients name one exchange without asking what an installation serves.
    """
    return exchange == RANKED_ANYWHERE or is_served(exchange, frozenset(whitelisted_series()))


def is_admitted(series: SeriesId) -> bool:
    """Whether a read may have candles fetched for a series that has none yet. Blocking.

    False while the exchange's listing is being read.
    """
    whitelist = frozenset(followed_whitelist())
    series = derived_timeframes().source_of(series)
    if series in whitelist:
        return True
    return is_served(series.exchange, whitelist) and listings.is_listed(series)


def limits_of(pinned: frozenset[SeriesId]) -> Admission:
    """The limits by the switches."""
    switches = settings.SWITCHES
    return Admission(
        idle_ttl=switches.ondemand_idle_ttl_s,
        limit=switches.ondemand_max_jobs,
        venue_limit=switches.ondemand_max_groups,
        client_limit=switches.ondemand_series_an_address,
        client_venue_limit=switches.ondemand_max_groups_per_address,
        pinned=pinned,
    )


def runtime_gate() -> Gate:
    """The gate on this process's store, whitelist and listings."""
    return Gate(
        AdmissionPorts(
            whitelist=followed_whitelist,
            has_candles=_has_candles,
            check_listed=listings.check,
        )
    )


def _has_candles(series: SeriesId) -> bool:
    """Whether a series, or one that is derived of it, has a candle. Blocking."""
    states = candle_store().states([series, *derived_timeframes().derived_of(series)])
    return any(state.head is not None for state in states.values())
