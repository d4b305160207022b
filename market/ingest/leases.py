"""This web instance's leases: one for each series that has watchers here, for as long as it has."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Collection
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
from market.domain.throttle import Throttle
from market.ingest.admission import CAPACITY_MESSAGE, runtime_gate
from market.ingest.desired import pinned_series
from market.ingest.runtime import call, instance_id, lease_store
from market.networks import digest_of
from market.runtime import derived_timeframes
from market.singletons import once
from market.stopping import stop

log = logging.getLogger(__name__)

RENEWALS_A_TTL = 3

# A client whose wishes were refused for capacity this often, and then at this rate, is refused
# without asking the lease store: a flood of wishes would occupy this process.
REFUSALS_AT_ONCE = 20
REFUSALS_PER_S = 20.0


class LeaseKeeper:
    """Counts this instance's holders of each series and keeps a lease while there are any.

    `admit` decides whether a series is followed: it raises FollowRefused, or returns None for one
    that is only read. The lease store counts what a client's address holds through all instances.
    While it is unavailable an admitted holder is accepted if its address holds no more than it may
    through this instance; the next renewal that succeeds takes the lease. Used from one event loop.
    """

    def __init__(
        self,
        leases: LeaseStore,
        instance: str,
        *,
        ttl: float,
        admit: Callable[[SeriesId], Awaitable[Admission | None]],
    ) -> None:
        self._leases = leases
        self._instance = instance
        self._ttl = ttl
        self._admit = admit
        # How many holders each client has; clients are digests of addresses.
        self._holders: dict[SeriesId, Counter[str]] = {}
        # How many hold each derived series: the lease of its base does not show that.
        self._derived: Counter[SeriesId] = Counter()
        # Those of them that have a lease; the others are only read.
        self._leased: set[SeriesId] = set()
        # The limits as last admitted: they depend on the switches and the whitelist alone.
        self._limits = Admission(idle_ttl=0)
        # One change of a series at a time: a second holder must not pass before the first one is
        # admitted.
        self._locks: WeakValueDictionary[SeriesId, asyncio.Lock] = WeakValueDictionary()
        self._renewal: asyncio.Task[None] | None = None
        self._is_reachable = True
        self._refusals: Throttle[str] = Throttle(1 / REFUSALS_PER_S, burst=REFUSALS_AT_ONCE)

    async def acquire(self, series: SeriesId, address: str = "") -> None:
        """Become a holder for a client's address; raises FollowRefused.

        The lease of a derived series is that of its base, so all timeframes of a symbol count once.
        """
        source, client = derived_timeframes().source_of(series), digest_of(address)
        await self._acquire(source, client)
        if source != series:
            self._derived[series] += 1
            await self._try(partial(self._leases.watch, [series], ttl=self._ttl))

    async def _acquire(self, series: SeriesId, client: str) -> None:
        async with self._lock(series):
            if series not in self._holders:
                await self._begin(series, client)
            elif self._is_counted(series) and client not in self._holders[series]:
                await self._lease(series, client)
            self._holders.setdefault(series, Counter())[client] += 1
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.create_task(self._renew(), name="lease renewal")

    async def release(self, series: SeriesId, address: str = "") -> None:
        """Stop being a holder; with the last one the lease ends. Never raises."""
        if self._derived[series] > 1:
            self._derived[series] -= 1
        else:
            # It is published for until its mark expires.
            del self._derived[series]
        series, client = derived_timeframes().source_of(series), digest_of(address)
        async with self._lock(series):
            clients = self._holders.get(series, Counter())
            if client not in clients:
                return
            clients[client] -= 1
            if clients[client]:
                return
            del clients[client]
            if clients:
                if self._is_counted(series):
                    await self._end(series, [client])
                return
            del self._holders[series]
            if series in self._leased:
                self._leased.remove(series)
                await self._end(series, [client])

    async def close(self) -> None:
        """End every lease, at the shutdown of the instance."""
        if self._renewal is not None:
            await stop([self._renewal])
            self._renewal = None
        held = self._held()
        self._holders.clear()
        self._leased.clear()
        for series, clients in held.items():
            if not await self._end(series, clients):
                return  # The lease store is unavailable: they expire.

    def _lock(self, series: SeriesId) -> asyncio.Lock:
        return self._locks.setdefault(series, asyncio.Lock())

    async def _begin(self, series: SeriesId, client: str) -> None:
        """Admit a series and take its lease."""
        try:
            admitted = await self._admit(series)
        except (Error, TimeoutError) as error:
            reason = "the store is away, subscribe again"
            raise FollowRefused(series, Refusal.UNAVAILABLE, reason) from error
        if admitted is not None:
            self._limits = admitted
            await self._lease(series, client)
            self._leased.add(series)

    async def _lease(self, series: SeriesId, client: str) -> None:
        """Take the lease for a client, or join it; raises FollowRefused."""
        if series not in self._limits.pinned and self._refusals.wait_s(client):
            raise FollowRefused(series, Refusal.CAPACITY, CAPACITY_MESSAGE)
        try:
            is_leased = await call(
                self._leases.lease,
                series,
                self._instance,
                ttl=self._ttl,
                admission=self._limits,
                client=client,
            )
        except LeaseStoreUnavailable as error:
            self._unavailable(error)
            is_leased = self._limits.fits(
                series, [each for each in self._leased if client in self._holders[each]]
            )
        if not is_leased:
            self._refusals.admit(client)
            raise FollowRefused(series, Refusal.CAPACITY, CAPACITY_MESSAGE)

    def _is_counted(self, series: SeriesId) -> bool:
        """Whether the lease store counts who holds a series."""
        return series in self._leased and self._limits.counts_clients_of(series)

    def _held(self) -> dict[SeriesId, list[str]]:
        """Every leased series, and those of its clients that are counted."""
        return {
            series: list(self._holders[series]) if self._is_counted(series) else []
            for series in self._leased
        }

    async def _renew(self) -> None:
        while self._holders:
            await asyncio.sleep(self._ttl / RENEWALS_A_TTL)
            held = self._held()
            await self._try(partial(self._leases.renew, self._instance, held, ttl=self._ttl))
            if self._derived:
                await self._try(partial(self._leases.watch, list(self._derived), ttl=self._ttl))
            for series, clients in held.items():
                if self._is_held(series, clients):
                    continue
                # The renewal overtook a release and has taken again what was ended: end it again.
                async with self._lock(series):
                    if not self._is_held(series, clients):
                        now = self._holders.get(series, ())
                        await self._end(series, [each for each in clients if each not in now])

    def _is_held(self, series: SeriesId, clients: Collection[str]) -> bool:
        """Whether a series still has its lease, and each of these clients."""
        return series in self._leased and self._holders[series].keys() >= set(clients)

    async def _end(self, series: SeriesId, clients: Collection[str]) -> bool:
        """End what clients held, and the lease unless others hold it."""
        is_held = series in self._leased
        end = self._leases.release_clients if is_held else self._leases.release
        return await self._try(partial(end, series, self._instance, clients))

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
        source = derived_timeframes().source_of(series)
        if source not in await blocking.run(pinned_series):
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
