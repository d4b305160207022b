"""This web instance's leases: one for each series that it has watchers of, kept while it has."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import lru_cache, partial
from weakref import WeakValueDictionary

from django.conf import settings
from django.db import DatabaseError

from market import blocking
from market.domain.lease_store import Admission, CapacityRefused, LeaseStore, LeaseStoreUnavailable
from market.domain.series import SeriesId
from market.exchanges.ccxt_feed import known_exchanges
from market.ingest.runtime import ask, instance_id, lease_store
from market.ingest.whitelist import whitelisted_series
from market.stopping import stop

log = logging.getLogger(__name__)

RENEWALS_A_TTL = 3


class LeaseKeeper:
    """Counts this instance's holders of each series and keeps a lease while there are any.

    While the lease store is unreachable every watcher is accepted; the next renewal that succeeds
    takes the lease. Used from one event loop.
    """

    def __init__(
        self,
        lease_store: LeaseStore,
        instance: str,
        *,
        ttl: float,
        admission: Callable[[], Awaitable[Admission]],
        supported: Callable[[SeriesId], bool],
    ) -> None:
        self._lease_store = lease_store
        self._instance = instance
        self._ttl = ttl
        self._admission = admission
        self._supported = supported
        self._holders: Counter[SeriesId] = Counter()
        self._locks: WeakValueDictionary[SeriesId, asyncio.Lock] = WeakValueDictionary()
        self._renewal: asyncio.Task[None] | None = None
        self._reachable = True

    async def acquire(self, series: SeriesId) -> None:
        """Become a holder of the series; raise CapacityRefused when no job can be had for it."""
        if not self._supported(series):
            raise CapacityRefused(series, "unsupported exchange")
        async with self._lock(series):
            if not self._holders[series] and not await self._admitted(series):
                raise CapacityRefused(series, "limit reached")
            self._holders[series] += 1
        self._keep_renewing()

    async def release(self, series: SeriesId) -> None:
        """Stop being a holder; with the last one the lease ends. Never raises."""
        async with self._lock(series):
            if self._holders[series] > 1:
                self._holders[series] -= 1
            elif self._holders.pop(series, 0):
                await self._quietly(partial(self._lease_store.release, series, self._instance))

    async def close(self) -> None:
        """End every lease, as at the shutdown of the instance."""
        if self._renewal is not None:
            await stop([self._renewal])
            self._renewal = None
        held = list(self._holders)
        self._holders.clear()
        for series in held:
            ending = partial(self._lease_store.release, series, self._instance)
            if not await self._quietly(ending):
                return  # They run out by themselves.

    def _lock(self, series: SeriesId) -> asyncio.Lock:
        # One at a time a series: a second watcher must not pass before the first is admitted.
        return self._locks.setdefault(series, asyncio.Lock())

    async def _admitted(self, series: SeriesId) -> bool:
        try:
            admission = await self._admission()
            return await ask(
                self._lease_store.lease, series, self._instance, ttl=self._ttl, admission=admission
            )
        except (LeaseStoreUnavailable, DatabaseError, TimeoutError) as error:
            self._tell(error)
            return True

    def _keep_renewing(self) -> None:
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.create_task(self._renew(), name="lease renewal")

    async def _renew(self) -> None:
        while self._holders:
            await asyncio.sleep(self._ttl / RENEWALS_A_TTL)
            held = list(self._holders)
            await self._quietly(
                partial(self._lease_store.renew, self._instance, held, ttl=self._ttl)
            )
            await self._end_overtaken(held)

    async def _end_overtaken(self, renewed: list[SeriesId]) -> None:
        """A renewal that overtook a release took the lease again: end it once more."""
        for series in renewed:
            if series not in self._holders:
                async with self._lock(series):
                    if series not in self._holders:
                        await self._quietly(
                            partial(self._lease_store.release, series, self._instance)
                        )

    async def _quietly(self, call: Callable[[], None]) -> bool:
        try:
            await ask(call)
        except LeaseStoreUnavailable as error:
            self._tell(error)
            return False
        if not self._reachable:
            log.info("leases: the lease store is back")
        self._reachable = True
        return True

    def _tell(self, error: Exception) -> None:
        if self._reachable:
            log.warning("leases: the lease store is away, watchers are kept: %s", error)
        self._reachable = False


class NoLeases:
    """Stands in where subscribing starts nothing: on demand off, or a guarded read-only role."""

    async def acquire(self, series: SeriesId) -> None:
        """Accept every watcher."""

    async def release(self, series: SeriesId) -> None:
        """Nothing was taken."""

    async def close(self) -> None:
        """Nothing is held."""


async def current_admission() -> Admission:
    """The limits as the switches and the whitelist say now."""
    switches = settings.SWITCHES
    pinned: list[SeriesId] = []
    if switches.enable_whitelist_ingest and switches.ondemand_max_jobs:
        pinned = await blocking.run(whitelisted_series)
    return Admission(
        idle_ttl=switches.ondemand_idle_ttl_s,
        limit=switches.ondemand_max_jobs,
        pinned=frozenset(pinned),
    )


@lru_cache(maxsize=1)
def keeper() -> LeaseKeeper | NoLeases:
    """The keeper of this web instance."""
    switches = settings.SWITCHES
    if not (switches.enable_ondemand_ingest and switches.ingest_jobs_enabled):
        return NoLeases()
    exchanges = known_exchanges()
    return LeaseKeeper(
        lease_store(),
        instance_id(),
        ttl=switches.lease_ttl_s,
        admission=current_admission,
        supported=lambda series: series.exchange in exchanges,
    )
