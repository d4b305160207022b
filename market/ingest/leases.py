"""This web instance's leases: one for each series that has watchers here, for as long as it has."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from weakref import WeakValueDictionary

from django.conf import settings
from django.db import Error
from typing_extensions import override

from market import blocking
from market.domain.lease_store import (
    Admission,
    FollowRefused,
    LeaseStore,
    LeaseStoreUnavailable,
    Refusal,
)
from market.domain.series import SeriesId
from market.ingest.admission import CAPACITY_MESSAGE, Admitted, Quotas, Wish, runtime_gate
from market.ingest.desired import pinned_series
from market.ingest.runtime import call, instance_id, lease_store
from market.singletons import once
from market.stopping import stop

log = logging.getLogger(__name__)

RENEWALS_A_TTL = 3


class LeaseKeeper:
    """Counts this instance's holders of each series and keeps a lease while there are any.

    `admit` decides whether a series is followed: it raises FollowRefused, or returns None for one
    that is only read. While the lease store is unavailable every admitted holder is accepted; the
    next renewal that succeeds takes the lease. Used from one event loop.
    """

    def __init__(
        self,
        leases: LeaseStore,
        instance: str,
        *,
        ttl: float,
        admit: Callable[[SeriesId], Awaitable[Admitted | None]],
    ) -> None:
        self._leases = leases
        self._instance = instance
        self._ttl = ttl
        self._admit = admit
        self._quotas = Quotas()
        self._holders: Counter[SeriesId] = Counter()
        # Of the series that have holders: what was admitted. Series that are only read have none.
        self._wishes: dict[SeriesId, Wish] = {}
        # One change of a series at a time: a second holder must not pass before the first one is
        # admitted.
        self._locks: WeakValueDictionary[SeriesId, asyncio.Lock] = WeakValueDictionary()
        self._renewal: asyncio.Task[None] | None = None
        self._is_reachable = True

    async def acquire(self, series: SeriesId, address: str = "") -> None:
        """Become a holder for a client's address; raises FollowRefused."""
        async with self._lock(series):
            if self._holders[series]:
                if (wish := self._wishes.get(series)) is not None:
                    self._quotas.take(address, wish)
            else:
                await self._begin(series, address)
            self._holders[series] += 1
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.create_task(self._renew(), name="lease renewal")

    async def release(self, series: SeriesId, address: str = "") -> None:
        """Stop being a holder; with the last one the lease ends. Never raises."""
        async with self._lock(series):
            if not self._holders[series]:
                del self._holders[series]
                return
            wish = self._wishes.get(series)
            if wish is not None:
                self._quotas.give_back(address, wish)
            self._holders[series] -= 1
            if not self._holders[series]:
                del self._holders[series]
                if self._wishes.pop(series, None) is not None:
                    await self._end_lease(series)

    async def close(self) -> None:
        """End every lease, at the shutdown of the instance."""
        if self._renewal is not None:
            await stop([self._renewal])
            self._renewal = None
        held = list(self._wishes)
        self._holders.clear()
        self._wishes.clear()
        for series in held:
            if not await self._end_lease(series):
                return  # The lease store is unavailable: they expire.

    def _lock(self, series: SeriesId) -> asyncio.Lock:
        return self._locks.setdefault(series, asyncio.Lock())

    async def _begin(self, series: SeriesId, address: str) -> None:
        """Admit a series and take its lease."""
        try:
            admitted = await self._admit(series)
        except (Error, TimeoutError) as error:
            reason = "the store is away, subscribe again"
            raise FollowRefused(series, Refusal.UNAVAILABLE, reason) from error
        if admitted is None:
            return
        self._quotas.take(address, admitted.wish)
        try:
            if not await self._is_leased(series, admitted.limits):
                raise FollowRefused(series, Refusal.CAPACITY, CAPACITY_MESSAGE)
        except BaseException:
            self._quotas.give_back(address, admitted.wish)
            raise
        self._wishes[series] = admitted.wish

    async def _is_leased(self, series: SeriesId, limits: Admission) -> bool:
        try:
            return await call(
                self._leases.lease, series, self._instance, ttl=self._ttl, admission=limits
            )
        except LeaseStoreUnavailable as error:
            self._unavailable(error)
            return True

    async def _renew(self) -> None:
        while self._holders:
            await asyncio.sleep(self._ttl / RENEWALS_A_TTL)
            held = list(self._wishes)
            await self._try(partial(self._leases.renew, self._instance, held, ttl=self._ttl))
            for series in held:
                # A renewal that overtook a release has taken the lease again: end it once more.
                if series not in self._wishes:
                    async with self._lock(series):
                        if series not in self._wishes:
                            await self._end_lease(series)

    async def _end_lease(self, series: SeriesId) -> bool:
        return await self._try(partial(self._leases.release, series, self._instance))

    async def _try(self, work: Callable[[], None]) -> bool:
        try:
            await call(work)
        except LeaseStoreUnavailable as error:
            self._unavailable(error)
            return False
        if not self._is_reachable:
            log.info("leases: the lease store is available again")
        self._is_reachable = True
        return True

    def _unavailable(self, error: Exception) -> None:
        if self._is_reachable:
            log.warning("leases: the lease store is unavailable, watchers are kept: %s", error)
        self._is_reachable = False


class NoLeases:
    """Replaces LeaseKeeper where subscribing starts nothing and a watcher gets what there is.

    That is with on demand off, and in a guarded reader without workers that a bus feeds.
    """

    async def acquire(self, series: SeriesId, address: str = "") -> None:
        """Accept every holder."""

    async def release(self, series: SeriesId, address: str = "") -> None:
        """Do nothing: no lease was taken."""

    async def close(self) -> None:
        """Do nothing: no lease is held."""


class OnlyPinned(NoLeases):
    """Replaces LeaseKeeper in a guarded reader that has neither workers nor a bus.

    No process would follow what its watchers ask for, so only the whitelist is accepted.
    """

    @override
    async def acquire(self, series: SeriesId, address: str = "") -> None:
        """Accept a holder of a whitelisted series; raises FollowRefused for any other."""
        if series not in await blocking.run(pinned_series):
            raise FollowRefused(series, Refusal.CAPACITY, CAPACITY_MESSAGE)


@once
def keeper() -> LeaseKeeper | NoLeases:
    """The keeper of this web instance."""
    switches = settings.SWITCHES
    if not switches.enable_ondemand_ingest:
        return NoLeases()
    if not switches.ingest_can_be_requested:
        return NoLeases() if switches.enable_ws_pubsub else OnlyPinned()
    return LeaseKeeper(
        lease_store(), instance_id(), ttl=switches.lease_ttl_s, admit=runtime_gate().admit
    )
