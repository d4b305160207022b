"""The servers' own counts of candles, to be held against what watchers got."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from lab.capacity.figures import Counted
from lab.capacity.programs import TopologyFailed
from lab.capacity.topology import get_text

PUBLISHED = "market_candles_published_total"
DELIVERED = "market_ws_candles_delivered_total"
CAUGHT_UP = "market_ws_catchup_candles_total"
SETTLE_S = 0.3
TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Counts:
    """Candles so far: put on the bus by series, handed to connections, and come to watchers."""

    published: Mapping[str, float]
    handed: float
    came: int


def read_counts(worker: str, webs: tuple[str, ...], came: Callable[[], int]) -> Counts:
    """Read everything once it stands still; the addresses are those of `/metrics`.

    The exchange must be silent meanwhile: then what was on its way arrives, and all speak of the
    same candles. Raises TopologyFailed when the counts go on.
    """
    deadline = time.monotonic() + TIMEOUT_S
    before = None
    while (now := _read(worker, webs, came)) != before:
        if time.monotonic() > deadline:
            raise TopologyFailed("candles go on though the exchange is silent")
        before = now
        time.sleep(SETTLE_S)
    return now


def compare(first: Counts, last: Counts, subscriptions: Mapping[str, int]) -> Counted:
    """What was counted between two readings; `subscriptions` by series held all the time."""
    published = sum(
        (count - first.published.get(series, 0)) * subscriptions.get(series, 0)
        for series, count in last.published.items()
    )
    return Counted(round(published), round(last.handed - first.handed), last.came - first.came)


def _read(worker: str, webs: tuple[str, ...], came: Callable[[], int]) -> Counts:
    published = _samples(worker, (PUBLISHED,))
    handed = sum(sum(_samples(web, (DELIVERED, CAUGHT_UP)).values()) for web in webs)
    return Counts(published, handed, came())


def _samples(url: str, names: tuple[str, ...]) -> dict[str, float]:
    """The values of these metrics together, by series."""
    lines = [line for line in get_text(f"{url}/metrics").splitlines() if line.startswith(names)]
    found: defaultdict[str, float] = defaultdict(float)
    for family in text_string_to_metric_families("\n".join(lines) + "\n"):
        for sample in family.samples:
            found[sample.labels.get("series_id", "")] += sample.value
    return dict(found)
