"""Counters, gauges and histograms that cost nothing while collecting is off.

They wrap those of prometheus_client, in a registry of this process; any thread may use them.
`COLLECTING` switches all of them, so callers need not check it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import prometheus_client
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from market.domain.series import SeriesId

# The creation time of each value doubles the output and is useless when processes restart.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]

REGISTRY = CollectorRegistry(auto_describe=False)
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)

# Seconds. The smallest are for what happens inside a process, the largest for incidents.
FAST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SLOW = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 1800.0)
ROWS = (0, 1, 10, 100, 500, 1000, 2000, 5000, 10_000, 20_000)

MAX_SERIES = 200
OTHER = "other"

Child = TypeVar("Child")


class Collecting:
    """Whether metrics are collected; set once when a process starts (and by tests)."""

    __slots__ = ("is_on",)

    def __init__(self) -> None:
        self.is_on = False


COLLECTING = Collecting()


class _Family(Generic[Child]):
    """The values of one metric, one for each combination of labels."""

    __slots__ = ("_children", "_metric", "labels", "name")

    def __init__(self, metric: Any, name: str, labels: Sequence[str]) -> None:
        self._metric = metric
        self._children: dict[tuple[str, ...], Child] = {}
        self.name = name
        self.labels = tuple(labels)
        FAMILIES.append(self)

    def _child(self, labels: tuple[str, ...]) -> Child:
        child = self._children.get(labels)
        if child is None:
            child = self._metric.labels(*labels) if labels else self._metric
            self._children[labels] = child
        return child

    def clear(self) -> None:
        """Reset every value, as a restart does."""
        self._children.clear()
        if self.labels:
            self._metric.clear()
        else:
            self._metric._metric_init()


FAMILIES: list[_Family[Any]] = []


class Counter(_Family[prometheus_client.Counter]):
    """A value that only grows."""

    __slots__ = ()

    def __init__(self, name: str, meaning: str, *, labels: Sequence[str] = ()) -> None:
        metric = prometheus_client.Counter(name, meaning, labels, registry=REGISTRY)
        super().__init__(metric, name, labels)

    def inc(self, amount: float = 1, *labels: str) -> None:
        """Add `amount`."""
        if COLLECTING.is_on:
            self._child(labels).inc(amount)


class Gauge(_Family[prometheus_client.Gauge]):
    """A value that rises and falls."""

    __slots__ = ()

    def __init__(
        self, name: str, meaning: str, *, labels: Sequence[str] = (), old_name: str = ""
    ) -> None:
        metric = prometheus_client.Gauge(name, meaning, labels, registry=REGISTRY)
        super().__init__(metric, name, labels)
        if old_name:
            REGISTRY.register(_Renamed(metric, old_name))

    def set(self, value: float, *labels: str) -> None:
        """Set the value."""
        if COLLECTING.is_on:
            self._child(labels).set(value)

    def inc(self, amount: float = 1, *labels: str) -> None:
        """Add `amount`, which may be negative."""
        if COLLECTING.is_on:
            self._child(labels).inc(amount)


class _Renamed(Collector):
    """The values of a gauge under its deprecated name, for one more release.

    They are untyped: Prometheus keeps the ending `_count` for histograms and summaries.
    """

    def __init__(self, gauge: prometheus_client.Gauge, old_name: str) -> None:
        self._gauge = gauge
        self._old_name = old_name

    @override
    def collect(self) -> Iterator[Metric]:
        """Read the gauge now."""
        for metric in self._gauge.collect():
            meaning = f"Deprecated: use {metric.name}."
            renamed = Metric(self._old_name, meaning, "untyped")
            for sample in metric.samples:
                renamed.add_sample(self._old_name, sample.labels, sample.value)
            yield renamed


class Histogram(_Family[prometheus_client.Histogram]):
    """A distribution of values; it also remembers the largest."""

    __slots__ = ("_lock", "longest")

    def __init__(
        self,
        name: str,
        meaning: str,
        *,
        labels: Sequence[str] = (),
        buckets: Sequence[float] = FAST,
    ) -> None:
        metric = prometheus_client.Histogram(
            name, meaning, labels, buckets=buckets, registry=REGISTRY
        )
        super().__init__(metric, name, labels)
        self.longest: dict[tuple[str, ...], float] = {}
        self._lock = threading.Lock()

    def observe(self, value: float, *labels: str) -> None:
        """Record one value."""
        if not COLLECTING.is_on:
            return
        self._child(labels).observe(value)
        if value > self.longest.get(labels, -1.0):
            with self._lock:
                self.longest[labels] = max(value, self.longest.get(labels, -1.0))

    def clear(self) -> None:
        """Reset every value, as a restart does."""
        super().clear()
        self.longest.clear()


class SeriesLabels:
    """Bounds the label `series_id`: the first `most` series get their name, others ``other``.

    Clients may ask for any series, so only series that have candles are admitted.
    """

    def __init__(self, most: int = MAX_SERIES) -> None:
        self._most = most
        self._names: dict[SeriesId, str] = {}
        self._last: dict[SeriesId, tuple[int, ...]] = {}

    def is_repeat(self, series: SeriesId, *facts: int) -> bool:
        """Whether an admitted series last had the same facts: hot paths then skip its gauges."""
        if self._last.get(series) == facts:
            return True
        if series in self._names:
            self._last[series] = facts
        return False

    def admit(self, series: SeriesId) -> str:
        """The label of a series that has candles."""
        name = self._names.get(series)
        if name is None:
            name = str(series) if len(self._names) < self._most else OTHER
            if name is not OTHER:
                self._names[series] = name
        return name

    def clear(self) -> None:
        """Forget all series."""
        self._names.clear()
        self._last.clear()


SERIES = SeriesLabels()


@contextmanager
def collecting(is_on: bool = True) -> Iterator[None]:
    """Collect from zero inside the context: for tests and benchmarks."""
    before, COLLECTING.is_on = COLLECTING.is_on, is_on
    try:
        yield
    finally:
        COLLECTING.is_on = before
        SERIES.clear()
        for family in FAMILIES:
            family.clear()
