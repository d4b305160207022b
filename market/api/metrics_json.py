"""Metrics as the contract's JSON form: flat names, times in milliseconds."""

from __future__ import annotations

import time
from collections.abc import Iterable
from itertools import chain
from typing import Any

from prometheus_client.metrics_core import Metric

from market.installation.metrics import INSTALLATION
from market.metrics_registry import FAMILIES, REGISTRY, Histogram

SECONDS = "_seconds"

Labels = tuple[tuple[str, str], ...]


def metrics_as_object() -> dict[str, Any]:
    """Every metric of this process and of the installation. Blocking."""
    found: dict[str, dict[str, Any]] = {"counters": {}, "gauges": {}, "timers": {}}
    for metric in chain(REGISTRY.collect(), INSTALLATION.collect()):
        _add(metric, found)
    values = {kind: dict(sorted(named.items())) for kind, named in found.items()}
    return {"enabled": True, "updated_at_ms": int(time.time() * 1000), **values}


def _add(metric: Metric, found: dict[str, dict[str, Any]]) -> None:
    if metric.type == "histogram" and metric.name.endswith(SECONDS):
        found["timers"].update(_timers(metric))
    elif metric.type == "histogram":
        ends = ("_count", "_sum")
        found["counters"].update(_plain(metric, [metric.name + end for end in ends]))
    elif metric.type == "counter":
        found["counters"].update(_plain(metric, [f"{metric.name}_total"]))
    else:
        found["gauges"].update(_plain(metric, [metric.name]))


def _plain(metric: Metric, names: Iterable[str]) -> dict[str, float]:
    return {
        keyed(sample.name, sample.labels): float(sample.value)
        for sample in metric.samples
        if sample.name in names
    }


def _timers(metric: Metric) -> dict[str, dict[str, float]]:
    name = metric.name.removesuffix(SECONDS) + "_ms"
    totals: dict[Labels, dict[str, float]] = {}
    for sample in metric.samples:
        if sample.name.endswith(("_count", "_sum")):
            part = sample.name.removeprefix(metric.name)
            totals.setdefault(tuple(sorted(sample.labels.items())), {})[part] = sample.value
    longest = _longest(metric.name)
    return {
        keyed(name, dict(labels)): _timer(of["_count"], of["_sum"], longest.get(labels, 0.0))
        for labels, of in totals.items()
    }


def _timer(count: float, total_s: float, longest_s: float) -> dict[str, float]:
    return {
        "count": float(count),
        "total_ms": 1000 * total_s,
        "max_ms": 1000 * longest_s,
        "avg_ms": 1000 * total_s / count if count else 0.0,
    }


def _longest(name: str) -> dict[Labels, float]:
    """The longest times of a metric of ours; none are known of others."""
    for family in FAMILIES:
        if isinstance(family, Histogram) and family.name == name:
            pairs = family.longest.items()
            return {tuple(sorted(zip(family.labels, of, strict=True))): s for of, s in pairs}
    return {}


def keyed(name: str, labels: dict[str, str]) -> str:
    """``name{k1=v1,k2=v2}`` with keys sorted; a label without a value is left out."""
    given = ",".join(f"{key}={value}" for key, value in sorted(labels.items()) if value)
    return f"{name}{{{given}}}" if given else name
