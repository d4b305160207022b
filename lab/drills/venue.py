"""An exchange that misbehaves."""

from __future__ import annotations

import time

from lab.drills.catalogue import drill
from lab.drills.ground import Ground

FAULT_S = 20.0
NEXT = 10
BACK_MS = -300_000


@drill("exchange-silent", "the exchange silent for 20 s, connections open")
def silent(ground: Ground, title: str) -> None:
    """What it did not say is read over REST."""
    with ground.watched(title) as watch:
        watch.hit()
        ground.installation.fault("silent", {"duration_s": FAULT_S})
        time.sleep(FAULT_S)
        watch.over()


@drill("exchange-away", "the exchange refuses all connections for 20 s")
def away(ground: Ground, title: str) -> None:
    """Streams and REST at once."""
    with ground.watched(title) as watch:
        watch.hit()
        faults = ground.installation.fault
        faults("drop_connections", {"duration_s": FAULT_S, "abort": True})
        faults("rest_status", {"status": 503, "duration_s": FAULT_S})
        time.sleep(FAULT_S)
        watch.over()


@drill("exchange-429", "dropped connections, and 429 on REST for 20 s")
def too_many_requests(ground: Ground, title: str) -> None:
    """The hole after the reconnect can't be read at once."""
    with ground.watched(title) as watch:
        watch.hit()
        faults = ground.installation.fault
        faults("rest_status", {"status": 429, "retry_after_s": 5, "duration_s": FAULT_S})
        faults("drop_connections", {"duration_s": 3})
        time.sleep(FAULT_S)
        watch.over()


@drill("exchange-duplicates", "every final candle sent three times for 20 s")
def duplicates(ground: Ground, title: str) -> None:
    """Repeats are to be stored once and told once."""
    with ground.watched(title) as watch:
        watch.hit()
        ground.installation.fault("duplicate", {"times": 3, "duration_s": FAULT_S})
        time.sleep(FAULT_S)
        watch.over()


@drill("exchange-reorder", "final candles sent in the wrong order for 20 s")
def reorder(ground: Ground, title: str) -> None:
    """The earlier one is to be waited for, or read."""
    with ground.watched(title) as watch:
        watch.hit()
        ground.installation.fault("reorder", {"duration_s": FAULT_S})
        time.sleep(FAULT_S)
        watch.over()


@drill("exchange-omits", "the streams leave out ten candles")
def omits(ground: Ground, title: str) -> None:
    """REST has them."""
    with ground.watched(title) as watch:
        watch.hit()
        ground.installation.fault("omit", {"next": NEXT})
        time.sleep(FAULT_S)
        watch.over()


@drill("exchange-revises", "the ten newest candles revised, and sent again")
def revises(ground: Ground, title: str) -> None:
    """The store takes the new values, and every watcher is told to read again."""
    with ground.watched(title) as watch:
        watch.revisions_expected = True
        watch.hit()
        ground.installation.fault("revise", {"last": NEXT, "factor": 1.01, "push": True})
        time.sleep(FAULT_S / 2)
        watch.over()


@drill("exchange-clock", "the exchange's clock 5 min back for 20 s, then right again")
def clock_back(ground: Ground, title: str) -> None:
    """It tells nothing new meanwhile, and is 5 min ahead at once afterwards."""
    with ground.watched(title) as watch:
        watch.hit()
        watch.set_clock(BACK_MS / 1000)
        ground.installation.fault("clock_skew", {"skew_ms": BACK_MS})
        time.sleep(FAULT_S)
        ground.installation.clear_faults()
        watch.over()
        watch.set_clock(0)
