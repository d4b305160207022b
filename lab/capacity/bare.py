"""The limit beside a run: a bare broadcast loop with the same watchers and as many frames."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import orjson
from websockets.sync.client import connect

from lab.capacity.crowd import Crowd
from lab.capacity.figures import Spread
from lab.capacity.programs import RunningProgram
from lab.capacity.topology import Topology
from lab.capacity.watcher import Order
from trade_canvas.embedded.server import free_port, is_port_free
from trade_canvas.up.plan import HOST, Program

SERIES = "bare:spot:BTC/USDT:1s"
SETTLE_S = 1.0
START_TIMEOUT_S = 30.0
TIMEOUT_S = 10.0
PRICES = {"open": 64210.5, "high": 64333.25, "low": 64180.75, "close": 64300.5, "volume": 182.337}


class Sender:
    """Sends a closed candle `per_second` times a second to a broadcast server, from a thread."""

    def __init__(self, port: int, per_second: float) -> None:
        # No real time is as late, so no candle counts as older than a subscription.
        self.head = int(time.time()) + 10**7
        self.sent: dict[int, float] = {}
        self._connection = connect(f"ws://{HOST}:{port}/send", compression=None, proxy=None)
        self._pause = 1 / per_second
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop sending."""
        self._stopping.set()
        self._thread.join(TIMEOUT_S)
        self._connection.close()

    def _run(self) -> None:
        candle_time = self.head
        while not self._stopping.wait(self._pause):
            candle_time += 1
            candle = {"candle_time": candle_time, **PRICES}
            message = {"type": "candle_closed", "series_id": SERIES, "candle": candle}
            self.sent[candle_time] = time.time()
            self._connection.send(orjson.dumps(message).decode())


def measure_bare(
    topology: Topology, *, watchers: int, processes: int, per_second: float, seconds: float
) -> Spread:
    """Delays from sending to arrival at each watcher of one `websockets.broadcast` server."""
    port = free_port()
    command = (sys.executable, "-m", "lab.benchmarks.bare_servers", "broadcast", str(port))
    server = RunningProgram(Program("bare", command), topology.environment, logs=topology.logs)
    server.start()
    try:
        server.wait_until(lambda: not is_port_free(port), START_TIMEOUT_S, "listening")
        order = Order(
            urls=(f"http://{HOST}:{port}",),
            series=(SERIES,),
            watchers=watchers,
            path="/",
            reads_heads=False,
        )
        return _delays(order, port, processes, topology.logs, per_second, seconds)
    finally:
        server.terminate()


def _delays(
    order: Order, port: int, processes: int, logs: Path, per_second: float, seconds: float
) -> Spread:
    log = logs / "watchers.log"
    with (
        Crowd(order, processes=processes, log=log) as crowd,
        closing(Sender(port, per_second)) as sender,
    ):
        crowd.attach()
        time.sleep(SETTLE_S)
        start = time.time()
        time.sleep(seconds)
        end = time.time()
        time.sleep(SETTLE_S)
        told = crowd.finish({})
    return Spread.of(
        at - sender.sent[candle_time]
        for (_, candle_time), arrivals in told.arrivals.items()
        if start <= sender.sent[candle_time] <= end
        for at in arrivals
    )
