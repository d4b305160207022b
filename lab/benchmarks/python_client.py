"""The Python client against bare httpx and orjson: 20,000 candles, and with events, as a frame.

Bare is the least that a script can do: the same range in JSON pages of 5,000, parsed with orjson,
as one frame of pandas. It does not notice a revision between two pages.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import islice
from typing import Any

import httpx
import orjson
import pandas as pd

from lab.benchmarks.harness import Comparison, interleave, print_machine
from lab.benchmarks.samples import new_series, walk
from lab.benchmarks.stack import stack, web
from market.domain.series import SeriesId
from market.runtime import pipeline
from trade_canvas_client import Client

CANDLES = 20_000
PAGE = 5_000
EXAMPLE_ROUNDS = 3
TIMEOUT_S = 60.0


def bare(http: httpx.Client, series: str) -> pd.DataFrame:
    """Return the range from JSON pages."""
    rows: list[dict[str, Any]] = []
    since = 0
    while True:
        query: dict[str, str | int] = {"series_id": series, "since": since, "limit": PAGE}
        page = orjson.loads(http.get("/api/market/candles", params=query).content)
        rows += page["candles"]
        since = rows[-1]["candle_time"]
        if since >= page["server_head_time"]:
            break
    index = pd.to_datetime([row["candle_time"] for row in rows], unit="s", utc=True)
    return pd.DataFrame(rows, index=index)


def milliseconds(read: Callable[[], pd.DataFrame]) -> float:
    """Return the time of one read of the range."""
    start = time.perf_counter()
    found = read()
    taken = 1000 * (time.perf_counter() - start)
    assert len(found) == CANDLES
    return taken


def example(client: Client, series: str) -> pd.DataFrame:
    """Return candles with events: the example of docs/python-client.md."""
    candles = client.candles(series, newest=CANDLES).to_pandas()
    events = client.events(series, start=candles.index[0]).to_pandas()
    kinds = events.groupby(level="time")["kind"].agg(list).rename("events")
    return candles.join(kinds)


def main() -> None:
    """Print the comparisons."""
    print_machine()
    with stack(ledgers=True) as installation:
        series = new_series()
        stored = list(islice(walk(), CANDLES))
        for start in range(0, CANDLES, PAGE):
            pipeline().ingest(series, stored[start : start + PAGE])
        for history in ("1", "0"):
            with web(installation, TRADE_CANVAS_ENABLE_COMPACT_HISTORY=history) as server:
                compare(server.url, series, "compact history" if history == "1" else "JSON pages")


def compare(url: str, series: SeriesId, title: str) -> None:
    """Compare reads of one server."""
    name = str(series)
    http = httpx.Client(base_url=url, timeout=TIMEOUT_S, trust_env=False)
    with http, Client(url, trust_env=False) as kept:

        def first() -> pd.DataFrame:
            with Client(url, trust_env=False) as client:
                return client.candles(name).to_pandas()

        def again() -> pd.DataFrame:
            return kept.candles(name).to_pandas()

        def limit() -> float:
            return milliseconds(lambda: bare(http, name))

        for label, read in (("first", first), ("again", again)):
            both = interleave(lambda read=read: milliseconds(read), limit)  # type: ignore[misc]
            print(Comparison(f"{title}, {CANDLES} candles, read {label}", "ms", *both), flush=True)
        times = [milliseconds(lambda: example(kept, name)) for _ in range(EXAMPLE_ROUNDS)]
        print(f"{title}, {CANDLES} candles with events: {min(times):.0f} ms at best", flush=True)


if __name__ == "__main__":
    main()
