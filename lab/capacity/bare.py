"""The limit beside a run: a bare broadcast loop with the same watchers and as many frames."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import closing

import orjson
from websockets.sync.client import connect

from lab.capacity.figures import Spread
from lab.client import Order
from lab.crowd import Crowd
from lab.installation import Installation
from trade_canvas.embedded.server import free_port, is_port_free
from trade_canvas.up.plan import HOST

SERIES = "bare:spot:BTC/USDT:1s"
SETTLE_S = 1.0
PRICES = {"open": 64210.5, "high": 64333.25, "low": 64180.75, "close": 64300.5, "volume": 182.337}


class Sender:
    """Sends a closed candle `per_second` times a second to a broadcast server, from a thread."""

    def __init__(self, port: int, per_second: float) -> None:
        self.sent: dict[int, float] = {}
        """When each candle was sent (Unix seconds), by its open time."""
        self._connection = connect(f"ws://{HOST}:{port}/send", compression=None, proxy=None)
        self._pause = 1 / per_second
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop sending."""
        self._stopping.set()
        self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        # Far in the future, so that every candle counts as one that closed after the subscription.
        candle_time = int(time.time()) + 10**7
        while not self._stopping.wait(self._pause):
            candle_time += 1
            candle = {"candle_time": candle_time, **PRICES}
            message = {"type": "candle_closed", "series_id": SERIES, "candle": candle}
            self.sent[candle_time] = time.time()
            self._connection.send(orjson.dumps(message).decode())


def measure_bare(
    installation: Installation, *, watchers: int, processes: int, per_second: float, seconds: float
) -> Spread:
    """Return delays from sending to arrival at the watchers of a `websockets.broadcast` server."""
    port = free_port()
    server = installation.start(
        "bare",
        (sys.executable, "-m", "lab.benchmarks.bare_servers", "broadcast", str(port)),
        is_ready=lambda _: not is_port_free(port),
    ).wait_ready()
    order = Order(
        urls=(f"http://{HOST}:{port}",), series=(SERIES,), watchers=watchers, path="/", since={}
    )
    with (
        Crowd(order, processes=processes, log=installation.logs / "watchers.log") as crowd,
        closing(Sender(port, per_second)) as sender,
    ):
        crowd.attach()
        time.sleep(SETTLE_S)
        start = time.time()
        time.sleep(seconds)
        end = time.time()
        time.sleep(SETTLE_S)
        received = crowd.finish({})
    server.terminate()
    return Spread.of(
        at - sender.sent[candle_time]
        for (_, candle_time), arrivals in received.arrivals.items()
        if start <= sender.sent[candle_time] <= end
        for at in arrivals
    )
