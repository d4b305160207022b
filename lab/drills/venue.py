"""An exchange that misbehaves."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from lab.drills.ground import Watch, drill
from lab.installation import Installation

FAULT_S = 20.0
NEXT = 10
BACK_MS = -300_000

FAULTS: tuple[tuple[str, str, Mapping[str, Mapping[str, Any]]], ...] = (
    # What was not streamed is read over REST.
    ("silent", "the exchange silent for 20 s, connections open", {"silent": {}}),
    (
        "away",
        "the exchange refuses all connections for 20 s",
        {"drop_connections": {"abort": True}, "rest_status": {"status": 503}},
    ),
    (
        # The gap after the reconnect can't be read at once.
        "429",
        "dropped connections, and 429 on REST for 20 s",
        {
            "rest_status": {"status": 429, "retry_after_s": 5},
            "drop_connections": {"duration_s": 3},
        },
    ),
    # To be stored and delivered once.
    ("duplicates", "every final candle sent three times for 20 s", {"duplicate": {"times": 3}}),
    # The earlier one is to be waited for, or read.
    ("reorder", "final candles sent in the wrong order for 20 s", {"reorder": {}}),
)


def _register(name: str, title: str, faults: Mapping[str, Mapping[str, Any]]) -> None:
    @drill(f"exchange-{name}", title)
    def run(installation: Installation, watch: Watch) -> None:
        with watch.fault():
            for kind, details in faults.items():
                installation.exchange.fault(kind, **{"duration_s": FAULT_S, **details})
            time.sleep(FAULT_S)


for each in FAULTS:
    _register(*each)


@drill("exchange-omits", "the streams leave out ten candles")
def omits(installation: Installation, watch: Watch) -> None:
    """REST has them."""
    with watch.fault():
        installation.exchange.fault("omit", next=NEXT)
        time.sleep(FAULT_S)


@drill("exchange-revises", "the ten newest candles revised, and sent again")
def revises(installation: Installation, watch: Watch) -> None:
    """The store takes the new values, and every watcher is notified."""
    watch.revisions_expected = True
    with watch.fault():
        installation.exchange.fault("revise", last=NEXT, factor=1.01, push=True)
        time.sleep(FAULT_S / 2)


@drill("exchange-clock", "the exchange's clock 5 min back for 20 s, then right again")
def clock_back(installation: Installation, watch: Watch) -> None:
    """It sends nothing new meanwhile, and is 5 min ahead at once afterwards."""
    with watch.fault():
        watch.set_clock(BACK_MS / 1000)
        installation.exchange.fault("clock_skew", skew_ms=BACK_MS)
        time.sleep(FAULT_S)
        installation.exchange.clear()
    watch.set_clock(0)
