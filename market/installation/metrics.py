"""Metrics of the installation as a whole, read from its status on each scrape.

Every web process exposes the same values, so Prometheus takes the maximum over them.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import get_args

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from market.ingest.derived_standing import StandingState
from market.ingest.presence import RECONCILE
from market.installation.status import PARTS, InstallationStatus, SeriesStatus, read_status
from market.metrics_registry import MAX_SERIES

# The parts are read at most once in this time, however many scrapes there are.
KEPT_S = 2.0

BY_SERIES = (
    ("head_time", "Open time of the newest stored candle (Unix seconds)."),
    ("lag_seconds", "Seconds of closed candles that are missing at the end of a followed series."),
    ("followed", "1 while a worker reports that it follows the series, 0 while none does."),
    ("breaker_open", "1 while the series' circuit breaker is open."),
    ("failures", "Failures since its follower began."),
    ("leases", "Web processes that have watchers of the series."),
    ("halted", "1 while the exchange lists the market as halted or delisted."),
    ("open_gaps", "Noticed holes that the exchange is requested again."),
)
PREFIX = "market_series_"


class InstallationMetrics(Collector):
    """Collects the result of `read`, kept for KEPT_S seconds, for at most `most` series."""

    def __init__(
        self,
        read: Callable[[], InstallationStatus] = read_status,
        *,
        clock: Callable[[], float] = time.monotonic,
        most: int = MAX_SERIES,
    ) -> None:
        self._read = read
        self._clock = clock
        self._most = most
        self._lock = threading.Lock()
        self._known: InstallationStatus | None = None
        self._known_at = 0.0

    def collect(self) -> Iterable[Metric]:
        """The status as families of metrics. Blocking."""
        known = self._status()
        yield _gauge(
            "market_part_up",
            "1 while a part of the installation answers.",
            "part",
            {part: float(part not in known.unreachable) for part in PARTS},
        )
        yield from _series(known.followed, self._most)
        yield _derived(known)
        yield from _queues(known)
        yield from _members(known)

    def _status(self) -> InstallationStatus:
        with self._lock:
            if self._known is None or self._clock() - self._known_at > KEPT_S:
                self._known, self._known_at = self._read(), self._clock()
            return self._known


def _series(followed: tuple[SeriesStatus, ...], most: int) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "market_followed_series", "Series that are to be followed.", value=len(followed)
    )
    families = {
        name: GaugeMetricFamily(PREFIX + name, meaning, labels=["series_id"])
        for name, meaning in BY_SERIES
    }
    # Those furthest behind first: they must not be left out.
    for each in sorted(followed, key=lambda one: -(one.lag_s or 0.0))[:most]:
        for name, value in _values(each).items():
            if value is not None:
                families[name].add_metric([str(each.series)], value)
    yield from families.values()


def _derived(known: InstallationStatus) -> Metric:
    counted = Counter(each.standing.state for each in known.derived)
    return _gauge(
        "market_derived_series",
        "Derived series that are asked for, or whose candles will not come by themselves.",
        "state",
        {state: float(counted[state]) for state in get_args(StandingState)},
    )


def _values(each: SeriesStatus) -> dict[str, float | None]:
    return {
        "head_time": each.state.head,
        "lag_seconds": each.lag_s,
        "followed": float(each.report is not None),
        "breaker_open": float(each.is_breaker_open),
        "failures": each.report.crashes if each.report else 0.0,
        "leases": each.desired.lease.leases if each.desired.lease else 0.0,
        "halted": float(each.report is not None and each.report.is_halted),
        "open_gaps": each.open_gaps,
    }


def _queues(known: InstallationStatus) -> Iterator[Metric]:
    yield _gauge(
        "market_queue_depth",
        "Tasks that wait for a worker.",
        "queue",
        {each.name: each.waiting for each in known.queues},
    )
    yield _gauge(
        "market_queue_oldest_seconds",
        "How long the oldest of them has waited.",
        "queue",
        {each.name: each.oldest_s for each in known.queues},
    )
    yield GaugeMetricFamily(
        "market_queue_taken", "Tasks that workers have taken and not finished.", value=known.taken
    )


def _members(known: InstallationStatus) -> Iterator[Metric]:
    kinds = ("web", "worker", "beat")
    yield _gauge(
        "market_processes",
        "Processes of the installation that told lately that they live.",
        "kind",
        {kind: sum(each.kind == kind for each in known.members) for kind in kinds},
    )
    rounds = [each.seen_at for each in known.members if each.kind == RECONCILE]
    if rounds:
        yield GaugeMetricFamily(
            "market_reconcile_age_seconds",
            "How long ago a worker last ran the round that beat asks for.",
            value=max(0.0, known.at - max(rounds)),
        )


def _gauge(name: str, meaning: str, label: str, values: dict[str, float]) -> Metric:
    family = GaugeMetricFamily(name, meaning, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


INSTALLATION = CollectorRegistry(auto_describe=False)
INSTALLATION.register(InstallationMetrics())
