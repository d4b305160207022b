"""How the whole installation stands: what is followed, by whom, what waits, and who lives.

Read from the store, the lease store and the broker; each of them may be away, and is then named
as such while the rest is still told.
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

DATABASE, REGISTRY, BROKER = "database", "registry", "broker"
PARTS = (DATABASE, REGISTRY, BROKER)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesStatus:
    """A series that is to be followed, as it stands at `at` (Unix seconds)."""

    desired: Desired
    state: SeriesState
    report: JobReport | None
    open_gaps: int
    at: float

    @property
    def series(self) -> SeriesId:
        """Which one."""
        return self.desired.series

    @property
    def lag_s(self) -> float | None:
        """How many seconds of closed candles are missing at the end; None of an empty series."""
        if self.state.head is None:
            return None
        return float(max(0, self.series.timeframe.latest_closed(self.at) - self.state.head))

    @property
    def breaker(self) -> str | None:
        """The state of its circuit breaker; None without one."""
        told = self.report.guardrail if self.report else None
        return None if told is None else str(told["state"])

    @property
    def is_breaker_open(self) -> bool:
        """Whether nobody tries to follow it for now."""
        return self.breaker == BreakerState.OPEN


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallationStatus:
    """The installation at `at`; `away` names the parts that could not be asked."""

    at: float
    followed: tuple[SeriesStatus, ...]
    members: tuple[Member, ...]
    queues: tuple[QueueStanding, ...]
    taken: int
    away: frozenset[str]


class _Look:
    """Asks each part, and remembers which did not answer."""

    def __init__(self) -> None:
        self.at = time.time()
        self.away: set[str] = set()

    def ask(self, part: str, question: Callable[[], T], nothing: Callable[[], T]) -> T:
        if part in self.away:
            return nothing()
        try:
            return question()
        except (LeaseStoreUnavailable, DatabaseError, TimeoutError, OSError) as error:
            log.warning("the %s can't be asked how it stands: %s", part, error)
            self.away.add(part)
            return nothing()

    def followed(self) -> tuple[SeriesStatus, ...]:
        leased: list[LeasedSeries] = self.ask(REGISTRY, _leased, list)
        pinned: list[SeriesId] = self.ask(DATABASE, _pinned, list)
        desired = combine(pinned, leased)
        names = [each.series for each in desired]
        states: dict[SeriesId, SeriesState] = self.ask(DATABASE, partial(_states, names), dict)
        reports: dict[SeriesId, JobReport] = self.ask(REGISTRY, partial(_reports, names), dict)
        gaps: Counter[SeriesId] = self.ask(DATABASE, _open_gaps, Counter)
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
    """Ask every part how it stands. Blocking; raises nothing of a part that is away."""
    look = _Look()
    followed = look.followed()
    queues, taken = look.ask(BROKER, queue_standings, lambda: ([], 0))
    members: list[Member] = look.ask(REGISTRY, _members, list)
    return InstallationStatus(
        at=look.at,
        followed=followed,
        members=tuple(members),
        queues=tuple(queues),
        taken=taken,
        away=frozenset(look.away),
    )
