"""The status of the whole installation: followed series, processes and queues.

It is read from the database, the lease store and the broker; each of them may be unreachable, which
is reported while the rest is still read.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from django.conf import settings
from django.db import DatabaseError

from market import blocking
from market.domain.freshness import late_by
from market.domain.lease_store import (
    BackfillProgress,
    JobReport,
    LeasedSeries,
    LeaseStoreUnavailable,
    Member,
)
from market.domain.series import SeriesId
from market.domain.store import EMPTY, SeriesState
from market.ingest.breaker import BreakerState
from market.ingest.derived_standing import Standing, standings
from market.ingest.desired import Desired, combine, pinned_series, whitelisted_series
from market.ingest.gap_ledger import ledger
from market.ingest.queues import QueueStanding, queue_standings
from market.ingest.runtime import lease_store
from market.runtime import candle_store, derived_book, derived_timeframes

log = logging.getLogger(__name__)

T = TypeVar("T")

DATABASE, LEASE_STORE, BROKER = "database", "registry", "broker"
PARTS = (DATABASE, LEASE_STORE, BROKER)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesStatus:
    """The status of a desired series at `at` (Unix seconds)."""

    desired: Desired
    state: SeriesState
    report: JobReport | None
    open_gaps: int
    at: float

    @property
    def series(self) -> SeriesId:
        """The series."""
        return self.desired.series

    @property
    def lag_s(self) -> float | None:
        """Seconds of closed candles missing at the end; None for an empty series."""
        if self.state.head is None:
            return None
        return float(max(0, self.series.timeframe.latest_closed(self.at) - self.state.head))

    @property
    def late_s(self) -> float:
        """By how many seconds the next candle is late, 0 while it may still be missing."""
        if self.state.head is None:
            return 0.0
        return late_by(self.state.head, self.series.timeframe, self.at)

    @property
    def breaker(self) -> str | None:
        """The state of its circuit breaker; None without one."""
        guardrail = self.report.guardrail if self.report else None
        return None if guardrail is None else str(guardrail["state"])

    @property
    def is_breaker_open(self) -> bool:
        """Whether its circuit breaker pauses the follower."""
        return self.breaker == BreakerState.OPEN


@dataclass(frozen=True, slots=True, kw_only=True)
class DerivedStatus:
    """The status of a derived series, which is not followed itself."""

    series: SeriesId
    head: int | None
    standing: Standing
    is_pinned: bool
    is_watched: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallationStatus:
    """The installation at `at`; `unreachable` names the parts that did not answer."""

    at: float
    followed: tuple[SeriesStatus, ...]
    members: tuple[Member, ...]
    queues: tuple[QueueStanding, ...]
    taken: int
    unreachable: frozenset[str]
    backfills: Mapping[SeriesId, BackfillProgress] = field(default_factory=dict)
    """The latest backfill of each desired series, if there was one lately."""
    derived: tuple[DerivedStatus, ...] = ()
    """Derived series that are asked for, or whose candles will not come by themselves."""


def read_status() -> InstallationStatus:
    """Read the status from every part. Blocking; an unreachable part raises nothing."""
    at = time.time()
    unreachable: set[str] = set()

    def read(part: str, question: Callable[[], T], default: T) -> T:
        if part not in unreachable:
            try:
                return question()
            except (LeaseStoreUnavailable, DatabaseError, TimeoutError, OSError) as error:
                log.warning("the status of the %s is unknown: %s", part, error)
                unreachable.add(part)
        return default

    leased: list[LeasedSeries] = []
    if settings.SWITCHES.enable_ondemand_ingest:
        idle_ttl = settings.SWITCHES.ondemand_idle_ttl_s
        leased = read(LEASE_STORE, lambda: lease_store().leased(idle_ttl=idle_ttl), [])
    pinned: list[SeriesId] = read(DATABASE, lambda: blocking.call(pinned_series), [])
    desired = combine(pinned, leased)
    names = [each.series for each in desired]
    states: dict[SeriesId, SeriesState]
    states = read(DATABASE, lambda: blocking.call(candle_store().states, names), {})
    reports: dict[SeriesId, JobReport]
    reports = read(LEASE_STORE, lambda: lease_store().reports(names), {})
    backfills: Mapping[SeriesId, BackfillProgress]
    backfills = read(LEASE_STORE, lambda: lease_store().progress_of(names), {})
    open_gaps: Mapping[SeriesId, int]
    open_gaps = read(DATABASE, lambda: blocking.call(ledger().unsettled_counts), {})
    no_queues: tuple[list[QueueStanding], int] = ([], 0)
    queues, taken = read(BROKER, queue_standings, no_queues)
    members: list[Member] = read(LEASE_STORE, lambda: lease_store().members(), [])
    watched: Collection[SeriesId] = ()
    if settings.SWITCHES.enable_ondemand_ingest:
        watched = read(LEASE_STORE, lambda: lease_store().watched(), set())
    derived: list[DerivedStatus]
    derived = read(DATABASE, lambda: blocking.call(_derived, watched, at), [])
    followed = [
        SeriesStatus(
            desired=each,
            state=states.get(each.series, EMPTY),
            report=reports.get(each.series),
            open_gaps=open_gaps.get(each.series, 0),
            at=at,
        )
        for each in desired
    ]
    return InstallationStatus(
        at=at,
        followed=tuple(followed),
        members=tuple(members),
        queues=tuple(queues),
        taken=taken,
        unreachable=frozenset(unreachable),
        backfills=backfills,
        derived=tuple(derived),
    )


def _derived(watched: Collection[SeriesId], at: float) -> list[DerivedStatus]:
    """The derived series that are asked for, or in trouble; those in trouble first."""
    base_of, switches = derived_timeframes().base_of, settings.SWITCHES
    whitelisted = whitelisted_series() if switches.enable_whitelist_ingest else []
    pinned = {each for each in whitelisted if base_of(each)}
    asked = pinned.union(each for each in watched if base_of(each))
    found = standings(asked.union(derived_book().held()), now=at)
    shown = [each for each, standing in found.items() if each in asked or standing.is_bad]
    heads = candle_store().states(shown)
    return [
        DerivedStatus(
            series=each,
            head=heads[each].head,
            standing=found[each],
            is_pinned=each in pinned,
            is_watched=each in watched,
        )
        for each in sorted(shown, key=lambda each: (not found[each].is_bad, str(each)))
    ]
