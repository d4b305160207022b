"""The servers' own counts of candles, to be held against what watchers got."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from trade_canvas.capacity.figures import Counted
from trade_canvas.capacity.programs import TopologyFailed
from trade_canvas.capacity.topology import get_text

PUBLISHED = "market_candles_published_total"
DELIVERED = "market_ws_candles_delivered_total"
CAUGHT_UP = "market_ws_catchup_candles_total"
SETTLE_S = 0.2
ATTEMPTS = 100


@dataclass(frozen=True, slots=True)
class Counts:
    """Candles so far: put on the bus by series, handed to connections, and come to watchers."""

    published: Mapping[str, float]
    handed: float
    came: int


def read_counts(worker: str, webs: tuple[str, ...], came: Callable[[], int]) -> Counts:
    """Read everything while nothing is on its way; the addresses are those of `/metrics`.

    Candles come in bursts: when the servers say the same a little before and after the watchers
    were asked, they speak of the same candles. Raises TopologyFailed when that never happens.
    """
    for _ in range(ATTEMPTS):
        before = _servers(worker, webs)
        time.sleep(SETTLE_S)
        counted = came()
        if _servers(worker, webs) == before:
            return Counts(before[0], before[1], counted)
    raise TopologyFailed("candles never pause for long enough to be counted")


def compare(first: Counts, last: Counts, subscriptions: Mapping[str, int]) -> Counted:
    """What was counted between two readings; `subscriptions` by series held all the time."""
    published = sum(
        (count - first.published.get(series, 0)) * subscriptions.get(series, 0)
        for series, count in last.published.items()
    )
    return Counted(round(published), round(last.handed - first.handed), last.came - first.came)


def _servers(worker: str, webs: tuple[str, ...]) -> tuple[dict[str, float], float]:
    published = _samples(worker, PUBLISHED)
    handed = sum(
        value for web in webs for name in (DELIVERED, CAUGHT_UP) for value in _values(web, name)
    )
    return published, handed


def _values(url: str, name: str) -> list[float]:
    return list(_samples(url, name).values())


def _samples(url: str, name: str) -> dict[str, float]:
    found: defaultdict[str, float] = defaultdict(float)
    for family in text_string_to_metric_families(get_text(f"{url}/metrics")):
        for sample in family.samples:
            if sample.name == name:
                found[sample.labels.get("series_id", "")] += sample.value
    return found
