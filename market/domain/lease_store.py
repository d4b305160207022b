"""The port of the lease store: who watches a series, who follows it, and how that goes.

It is the state that web instances and workers share about ingest: leases of watched series,
ownership of follow jobs, reports. All of it expires unless it is renewed and may be lost at any
time (Valkey restarts empty): fencing tokens of the candle store keep a late owner from writing, and
nothing here is the only copy of anything. One contract test covers every implementation.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple, Protocol
from zlib import crc32

from market.domain.series import SeriesId


class LeaseStoreUnavailable(Exception):
    """The lease store is unreachable; the call may or may not have taken effect."""


class Refusal(StrEnum):
    """Why a series is not followed; the values are codes of the WebSocket protocol."""

    CAPACITY = "capacity"
    """A limit is reached, or no feed knows the exchange."""
    EXCHANGE_NOT_SERVED = "exchange_not_served"
    """The operator has not named the exchange."""
    UNKNOWN_SYMBOL = "unknown_symbol"
    """The exchange does not list the symbol, the market or the timeframe."""
    EXCHANGE_UNAVAILABLE = "exchange_unavailable"
    """The exchange's listing can't be read now."""
    UNAVAILABLE = "unavailable"
    """The store can't be asked now."""


class FollowRefused(Exception):
    """A series is not followed; `reason` is for the client."""

    def __init__(self, series: SeriesId, code: Refusal, reason: str) -> None:
        super().__init__(f"{series}: {reason}")
        self.series = series
        self.code = code
        self.reason = reason


class Venue(NamedTuple):
    """One market of an exchange: a feed of its own, with connections and a listing."""

    exchange: str
    market: str

    @staticmethod
    def of(series: SeriesId) -> Venue:
        """The venue of a series."""
        return Venue(series.exchange, series.market)


class Group(NamedTuple):
    """The series that one follow job follows: those of one exchange and market, or a shard of them.

    The shard of a series depends only on its name and the number of shards, so all processes with
    the same setting agree. While settings differ, two jobs may want the same series; its fencing
    token lets only the later one write.
    """

    exchange: str
    market: str
    shard: int = 0

    @staticmethod
    def of(series: SeriesId, shards: int = 1) -> Group:
        """The group of a series when each exchange and market is split into `shards`."""
        return Group(series.exchange, series.market, crc32(str(series).encode()) % shards)

    @staticmethod
    def parse(text: str) -> Group:
        """Read ``exchange:market:shard``; raise ValueError for anything else."""
        exchange, market, shard = text.split(":")
        return Group(exchange, market, int(shard))

    def __str__(self) -> str:
        return f"{self.exchange}:{self.market}:{self.shard}"


class LeasedSeries(NamedTuple):
    """A series that was watched lately.

    `leases` counts the instances that watch it now. `leased_until` (Unix seconds) is the end of the
    last lease; once it is in the past, the series lingers.
    """

    series: SeriesId
    leases: int
    leased_until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """The limits by which a new lease is admitted; the same on every instance.

    A series lingers `idle_ttl` seconds after its last lease. At most `limit` series that are not
    `pinned` may be leased or lingering, and at most `venue_limit` venues of which no series is
    pinned. One client may hold `client_limit` and `client_venue_limit` of them, over all instances.
    0 means no limit.
    """

    idle_ttl: float
    limit: int = 0
    venue_limit: int = 0
    client_limit: int = 0
    client_venue_limit: int = 0
    pinned: frozenset[SeriesId] = frozenset()

    def counts_clients_of(self, series: SeriesId) -> bool:
        """Whether it matters which clients hold a series."""
        return series not in self.pinned and self.client_limit + self.client_venue_limit > 0

    def fits(self, series: SeriesId, held: Collection[SeriesId]) -> bool:
        """Whether a client that holds `held` may hold `series` as well."""
        if series in held or not self.counts_clients_of(series):
            return True
        counted = set(held) - self.pinned
        pinned = {Venue.of(each) for each in self.pinned}
        venues = {Venue.of(each) for each in counted} - pinned
        is_new = Venue.of(series) not in venues | pinned
        return not (
            (self.client_limit and len(counted) >= self.client_limit)
            or (is_new and self.client_venue_limit and len(venues) >= self.client_venue_limit)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class JobReport:
    """The state of following one series, reported by its follower. Times are Unix seconds.

    `state` is ``running``, ``backfilling``, ``waiting`` (before the next try) or ``open_breaker``.
    `guardrail` is the circuit breaker's state as the contract's ingest_state shows it; `owner`
    names the process that follows. `is_halted`: the exchange lists the market as halted or
    delisted. `refused_rows` counts the rows of the exchange that were dropped since following
    began, the last of them at `refused_at`, because they are no candles of the series. `polled` is
    why live candles come over REST, None while they come by a stream.
    """

    state: str
    started_at: float
    last_candle_time: int | None = None
    last_error: str | None = None
    crashes: int = 0
    last_crash_at: float | None = None
    guardrail: Mapping[str, Any] | None = None
    owner: str | None = None
    is_halted: bool = False
    refused_rows: int = 0
    refused_at: float | None = None
    polled: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A process of the installation as last announced. Times are Unix seconds of its own clock.

    `kind` is ``web``, ``worker`` or ``beat``, or ``reconcile`` for the latest round of reconcile.
    """

    kind: str
    name: str
    started_at: float
    seen_at: float
    watchers: int = 0
    subscriptions: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillProgress:
    """The progress of the latest backfill of a series' newest candles. Times are Unix seconds.

    `state` is ``idle``, ``running``, ``succeeded`` or ``failed``; `start_missing_seconds` is how
    far the head was behind when it began.
    """

    state: str = "idle"
    started_at: int | None = None
    updated_at: int | None = None
    reason: str | None = None
    note: str | None = None
    error: str | None = None
    start_missing_seconds: int = 0


IDLE = BackfillProgress()


class LeaseStore(Protocol):
    """Shared state of ingest. Durations are seconds; every call may raise LeaseStoreUnavailable."""

    def lease(
        self,
        series: SeriesId,
        instance: str,
        *,
        ttl: float,
        admission: Admission,
        client: str = "",
    ) -> bool:
        """Take a lease for `instance`, held by `client`; False when a limit forbids it.

        Atomic over all instances. `client` is a digest; an empty one is not counted. A pinned
        series is always accepted, and one that is leased or lingering already unless the client's
        own limit forbids it. At a limit the longest idle lingering series, or venue whose series
        all linger, is evicted.
        """

    def renew(self, instance: str, held: Mapping[SeriesId, Collection[str]], *, ttl: float) -> None:
        """Renew all leases of an instance, and their clients, in one call.

        A lost one is taken again. A client that is not renewed expires.
        """

    def release(self, series: SeriesId, instance: str, clients: Collection[str] = ()) -> None:
        """End a lease and its last clients now; after its last lease the series lingers."""

    def release_clients(self, series: SeriesId, instance: str, clients: Collection[str]) -> None:
        """End what clients hold; the lease stays."""

    def watch(self, series: Collection[SeriesId], *, ttl: float) -> None:
        """Record that derived series are watched, for `ttl` seconds unless it is repeated.

        Nothing is followed for that, and no limit counts it: the lease is that of their base.
        """

    def watched(self) -> set[SeriesId]:
        """The derived series that are watched now."""

    def leased(self, *, idle_ttl: float) -> list[LeasedSeries]:
        """Every series leased now or less than `idle_ttl` ago, ascending."""

    def take_group(self, group: Group, token: str, *, ttl: float) -> bool:
        """Become the owner of a group's follow job; False when it has an owner."""

    def renew_group(self, group: Group, token: str, *, ttl: float) -> bool:
        """Renew the ownership; False when `token` is not the owner's any more."""

    def release_group(self, group: Group, token: str) -> None:
        """End the ownership if `token` still holds it."""

    def owned_groups(self, groups: Collection[Group]) -> set[Group]:
        """Those of `groups` that have an owner now."""

    def claim(self, name: str, *, ttl: float) -> bool:
        """Set a marker for `ttl` seconds; False when it is already set."""

    def extend_claim(self, name: str, *, ttl: float) -> None:
        """Keep a marker that is set for `ttl` seconds from now."""

    def is_claimed(self, name: str) -> bool:
        """Whether a marker is set."""

    def unclaim(self, name: str) -> None:
        """Remove a marker."""

    def report(self, reports: Mapping[SeriesId, JobReport], *, ttl: float) -> None:
        """Save jobs' reports in one call; each expires after `ttl` unless it is repeated."""

    def reports(self, series: Collection[SeriesId]) -> dict[SeriesId, JobReport]:
        """The reports of these series in one call; series without one are left out."""

    def drop_reports(self, series: Collection[SeriesId]) -> None:
        """Delete the reports of series that are no longer followed."""

    def announce(self, member: Member, *, ttl: float) -> None:
        """Announce a running process; its entry expires after `ttl` unless it is repeated."""

    def withdraw(self, member: Member) -> None:
        """Remove a process that ends."""

    def members(self) -> list[Member]:
        """Every process whose entry has not expired, by kind and name."""

    def set_progress(self, series: SeriesId, progress: BackfillProgress) -> None:
        """Save the progress of a backfill for a day."""

    def progress(self, series: SeriesId) -> BackfillProgress:
        """The latest backfill's progress; the idle one when there was none."""

    def progress_of(self, series: Sequence[SeriesId]) -> dict[SeriesId, BackfillProgress]:
        """The same for several series, in one look-up."""
