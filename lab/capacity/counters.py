"""The servers' own counts of candles, to be compared with what watchers received."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from lab.capacity.figures import Counted
from lab.http import get_text
from lab.waiting import wait_until

PUBLISHED = "market_candles_published_total"
DELIVERED = "market_ws_candles_delivered_total"
CAUGHT_UP = "market_ws_catchup_candles_total"
STILL_S = 0.3
SETTLED_S = 10.0


@dataclass(frozen=True, slots=True)
class Counts:
    """Candles so far: published by series, sent to connections, and received by watchers."""

    published: Mapping[str, float]
    sent: float
    came: int


def read_counts(worker: str, webs: tuple[str, ...], came: Callable[[], int]) -> Counts:
    """Read all counts once they no longer change; the addresses are those of `/metrics`.

    The exchange must be silent meanwhile, so that all of them are about the same candles. Raises
    WaitTimeout when the counts go on changing.
    """
    before: Counts | None = None

    def settled() -> Counts | None:
        nonlocal before
        time.sleep(STILL_S)
        published = _samples(worker, (PUBLISHED,))
        sent = sum(sum(_samples(web, (DELIVERED, CAUGHT_UP)).values()) for web in webs)
        last, before = before, Counts(published, sent, came())
        return before if before == last else None

    found = wait_until(settled, SETTLED_S, "counts to settle while the exchange is silent")
    assert found is not None
    return found


def compare(first: Counts, last: Counts, subscriptions: Mapping[str, int]) -> Counted:
    """Return what was counted between two readings; `subscriptions` by series were constant."""
    published = sum(
        (count - first.published.get(series, 0)) * subscriptions.get(series, 0)
        for series, count in last.published.items()
    )
    return Counted(round(published), round(last.sent - first.sent), last.came - first.came)


def _samples(url: str, names: tuple[str, ...]) -> dict[str, float]:
    """Return the sum of these metrics' values by series."""
    lines = [line for line in get_text(f"{url}/metrics").splitlines() if line.startswith(names)]
    found: defaultdict[str, float] = defaultdict(float)
    for family in text_string_to_metric_families("\n".join(lines) + "\n"):
        for sample in family.samples:
            found[sample.labels.get("series_id", "")] += sample.value
    return dict(found)
