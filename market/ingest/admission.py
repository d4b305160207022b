"""Which series a watcher may have followed, decided before there is a row, a token or a lease.

Whitelisted series always are. Any other must be of an exchange that the operator named, be known
(it has candles, or the exchange's listing names it) and fit into the quotas: those of one address
in this process, and those of all in the lease store.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple

from django.conf import settings

from market import blocking
from market.domain.feed import FeedError, FeedRefused
from market.domain.lease_store import Admission, FollowRefused, Refusal, Venue
from market.domain.series import SeriesId
from market.exchanges import listings
from market.exchanges.ccxt_feed import known_exchanges
from market.ingest.desired import whitelisted_series
from market.runtime import candle_store

ANY_EXCHANGE = "*"
CAPACITY_MESSAGE = "ondemand_ingest_capacity"


class Wish(NamedTuple):
    """A series that a watcher wants followed.

    It is pinned when it is followed anyway. `new_venue` is its venue if nothing of that is pinned.
    """

    series: SeriesId
    is_pinned: bool
    new_venue: Venue | None


@dataclass(frozen=True, slots=True)
class Admitted:
    """A wish that passed the checks, and the limits for its lease."""

    wish: Wish
    limits: Admission


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
    """Checks wishes; used from one event loop."""

    def __init__(self, ports: AdmissionPorts) -> None:
        self._ports = ports
        self._reading: asyncio.Task[list[SeriesId]] | None = None

    async def admit(self, series: SeriesId) -> Admitted | None:
        """The wish and the limits for its lease.

        None when the series is not followed but has candles, which are served all the same. Raises
        FollowRefused, and what reading the whitelist raises.
        """
        if series.exchange not in known_exchanges():
            raise FollowRefused(series, Refusal.CAPACITY, CAPACITY_MESSAGE)
        whitelist = frozenset(await self._whitelist())
        pinned = whitelist if settings.SWITCHES.enable_whitelist_ingest else frozenset()
        if series not in pinned:
            try:
                await self._check(series, served_exchanges(whitelist))
            except FollowRefused as refused:
                is_served = refused.code is Refusal.EXCHANGE_UNAVAILABLE
                if is_served or not await blocking.run(self._ports.has_candles, series):
                    raise
                return None
        venue = Venue.of(series)
        is_new = all(Venue.of(each) != venue for each in pinned)
        wish = Wish(series, series in pinned, venue if is_new else None)
        return Admitted(wish, limits_of(pinned))

    async def _check(self, series: SeriesId, served: frozenset[str]) -> None:
        if not {series.exchange, ANY_EXCHANGE} & served:
            reason = f"{series.exchange} is not served here"
            raise FollowRefused(series, Refusal.EXCHANGE_NOT_SERVED, reason)
        try:
            await self._ports.check_listed(series)
        except FeedRefused as error:
            raise FollowRefused(series, Refusal.UNKNOWN_SYMBOL, str(error)) from error
        except (FeedError, TimeoutError) as error:
            # What has candles was once listed, and goes on through an outage of the exchange.
            if not await blocking.run(self._ports.has_candles, series):
                reason = f"{series.exchange} can't be asked now whether it has the series"
                raise FollowRefused(series, Refusal.EXCHANGE_UNAVAILABLE, reason) from error

    async def _whitelist(self) -> list[SeriesId]:
        """Read the whitelist; those who ask at the same time share one query."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(blocking.run(self._ports.whitelist))
        return await asyncio.shield(self._reading)


def served_exchanges(whitelist: frozenset[SeriesId]) -> frozenset[str]:
    """The exchanges of which any listed series may be followed on demand."""
    switches = settings.SWITCHES
    named = {name.strip() for name in switches.ondemand_exchanges.split(",")} - {""}
    if named:
        return frozenset(named)
    local = {"sim"} if switches.uses_local_exchange else set()
    return frozenset({each.exchange for each in whitelist} | local)


def is_admitted(series: SeriesId) -> bool:
    """Whether a read may have candles fetched for a series that has none yet. Blocking.

    False while the exchange's listing is being read.
    """
    whitelist = frozenset(whitelisted_series())
    served = {series.exchange, ANY_EXCHANGE} & served_exchanges(whitelist)
    return series in whitelist or (bool(served) and listings.is_listed(series))


def limits_of(pinned: frozenset[SeriesId]) -> Admission:
    """The limits by the switches."""
    switches = settings.SWITCHES
    return Admission(
        idle_ttl=switches.ondemand_idle_ttl_s,
        limit=switches.ondemand_max_jobs,
        venue_limit=switches.ondemand_max_groups,
        pinned=pinned,
    )


class Quotas:
    """What each client address has followed on demand through this process."""

    def __init__(self) -> None:
        self._taken: defaultdict[str, Counter[Wish]] = defaultdict(Counter)

    def take(self, address: str, wish: Wish) -> None:
        """Count a wish; raise FollowRefused when that would be more than an address may have."""
        if wish.is_pinned:
            return
        switches, taken = settings.SWITCHES, self._taken[address]
        venues = {each.new_venue for each in taken} - {None}
        is_new = wish.new_venue not in venues and wish.new_venue is not None
        most = switches.ondemand_series_an_address
        most_venues = switches.ondemand_max_groups_per_address
        if wish not in taken and (
            (most and len(taken) >= most) or (is_new and most_venues and len(venues) >= most_venues)
        ):
            if not taken:
                del self._taken[address]
            raise FollowRefused(wish.series, Refusal.CAPACITY, CAPACITY_MESSAGE)
        taken[wish] += 1

    def give_back(self, address: str, wish: Wish) -> None:
        """Count a wish no more."""
        taken = self._taken.get(address)
        if taken is None or wish not in taken:
            return
        taken[wish] -= 1
        if not taken[wish]:
            del taken[wish]
        if not taken:
            del self._taken[address]


def runtime_gate() -> Gate:
    """The gate on this process's store, whitelist and listings."""
    return Gate(
        AdmissionPorts(
            whitelist=whitelisted_series,
            has_candles=lambda series: candle_store().state(series).head is not None,
            check_listed=listings.check,
        )
    )
