"""The status of the whole installation: followed series, processes and queues.

It is read from the database, the lease store and the broker; each of them may be unreachable, which
is reported while the rest is still read.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from django.conf import settings
from django.db import DatabaseError

from market import blocking
from market.domain.lease_store import JobReport, LeasedSeries, LeaseStoreUnavailable, Member
from market.domain.series import SeriesId
from market.domain.store import EMPTY, SeriesState
from market.ingest import gap_ledger
from market.ingest.breaker import BreakerState
from market.ingest.desired import Desired, combine, pinned_series
from market.ingest.dispatch import QueueStanding, queue_standings
from market.ingest.runtime import lease_store
from market.runtime import candle_store

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
    def breaker(self) -> str | None:
        """The state of its circuit breaker; None without one."""
        guardrail = self.report.guardrail if self.report else None
        return None if guardrail is None else str(guardrail["state"])

    @property
    def is_breaker_open(self) -> bool:
        """Whether its circuit breaker pauses the follower."""
        return self.breaker == BreakerState.OPEN


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallationStatus:
    """The installation at `at`; `unreachable` names the parts that did not answer."""

    at: float
    followed: tuple[SeriesStatus, ...]
    members: tuple[Member, ...]
    queues: tuple[QueueStanding, ...]
    taken: int
    unreachable: frozenset[str]


class _Reader:
    """Reads from each part, and remembers which did not answer."""

    def __init__(self) -> None:
        self.at = time.time()
        self.unreachable: set[str] = set()

    def read(self, part: str, question: Callable[[], T], empty: Callable[[], T]) -> T:
        if part in self.unreachable:
            return empty()
        try:
            return question()
        except (LeaseStoreUnavailable, DatabaseError, TimeoutError, OSError) as error:
            log.warning("the status of the %s is unknown: %s", part, error)
            self.unreachable.add(part)
            return empty()

    def followed(self) -> tuple[SeriesStatus, ...]:
        leased: list[LeasedSeries] = self.read(LEASE_STORE, _leased, list)
        pinned: list[SeriesId] = self.read(DATABASE, _pinned, list)
        desired = combine(pinned, leased)
        names = [each.series for each in desired]
        states: dict[SeriesId, SeriesState] = self.read(DATABASE, partial(_states, names), dict)
        reports: dict[SeriesId, JobReport] = self.read(LEASE_STORE, partial(_reports, names), dict)
        gaps: Counter[SeriesId] = self.read(DATABASE, _open_gaps, Counter)
        return tuple(
            SeriesStatus(
                desired=each,
                state=states.get(each.series, EMPTY),
                report=reports.get(each.series),
                open_gaps=gaps[each.series],
                at=self.at,
            )
            for each in desired
        )


def _pinned() -> list[SeriesId]:
    return blocking.call(pinned_series)


def _leased() -> list[LeasedSeries]:
    switches = settings.SWITCHES
    if not switches.enable_ondemand_ingest:
        return []
    return lease_store().leased(idle_ttl=switches.ondemand_idle_ttl_s)


def _states(names: list[SeriesId]) -> dict[SeriesId, SeriesState]:
    return blocking.call(candle_store().states, names)


def _reports(names: list[SeriesId]) -> dict[SeriesId, JobReport]:
    return lease_store().reports(names)


def _open_gaps() -> Counter[SeriesId]:
    return Counter(gap.series for gap in blocking.call(gap_ledger.open_gaps))


def _members() -> list[Member]:
    return lease_store().members()


def read_status() -> InstallationStatus:
    """Read the status from every part. Blocking; an unreachable part raises nothing."""
    reader = _Reader()
    followed = reader.followed()
    queues, taken = reader.read(BROKER, queue_standings, lambda: ([], 0))
    members: list[Member] = reader.read(LEASE_STORE, _members, list)
    return InstallationStatus(
        at=reader.at,
        followed=followed,
        members=tuple(members),
        queues=tuple(queues),
        taken=taken,
        unreachable=frozenset(reader.unreachable),
    )
