"""Candles posted one after another, each until it is acknowledged."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from lab.drills.installation import TOKEN, Installation
from lab.drills.requests import send

POSTED = "drill:spot:POSTED/USDT:1s"
PRICES = {"open": 1.0, "high": 2.0, "low": 1.0, "close": 2.0, "volume": 1.0}
PAUSE_S = 0.02
# Later than what other drills posted before.
_first = itertools.count(1, 1_000_000)


@contextmanager
def posting(installation: Installation) -> Iterator[list[int]]:
    """Post while the body runs; yields the acknowledged open times as they grow."""
    acknowledged: list[int] = []
    ended = threading.Event()
    first = next(_first)

    def post_on() -> None:
        for web in itertools.cycle(installation.webs):
            if ended.wait(PAUSE_S):
                return
            moment = first + len(acknowledged)
            if post(web.url, POSTED, moment):
                acknowledged.append(moment)

    thread = threading.Thread(target=post_on, daemon=True)
    thread.start()
    try:
        yield acknowledged
    finally:
        ended.set()
        thread.join()


def post(url: str, series: str, moment: int) -> bool:
    """Post one closed candle; whether it was acknowledged."""
    body = {"series_id": series, "candle": {"candle_time": moment, **PRICES}}
    headers = {"Authorization": f"Bearer {TOKEN}"}
    return send("POST", f"{url}/api/market/ingest/candle_closed", body, headers=headers)[0] == 200
