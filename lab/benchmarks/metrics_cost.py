"""The cost of metrics: delivery to 1,000 watchers, and cached reads, with metrics on and off.

In CPU time: of the hub by itself, without a network, and of two real web processes.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time

import psutil

from lab.benchmarks.candle_reads import CACHED_REQUESTS, Client, fill, page
from lab.benchmarks.harness import Comparison, Target, interleave, interleave_async, print_machine
from lab.benchmarks.samples import FIRST
from lab.benchmarks.stack import stack, web
from lab.program import Program
from market.bus.messages import ClosedCandles
from market.domain.candle import Candle
from market.domain.series import SeriesId
from market.live.frames import Frame
from market.live.topic import Subscription, Topic
from market.live.watcher import Watcher
from market.metrics_registry import collecting
from trade_canvas.switches import PREFIX

SERIES = SeriesId.parse("binance:futures:BTC/USDT:1m")
WATCHERS = 1000
DELIVERIES = 300
BOUND = 0.03
# A cost of hundredths needs more rounds than other comparisons to rise above the noise.
ROUNDS = 25


async def read(web: Program) -> float:
    """Return microseconds of CPU that the process takes to answer the same page once more."""
    process, client = psutil.Process(web.pid), Client(web.url)
    before = process.cpu_times()
    await client.rate(itertools.repeat(page(FIRST + 60 * 50_000)), CACHED_REQUESTS)
    after = process.cpu_times()
    spent = after.user + after.system - before.user - before.system
    return 1e6 * spent / CACHED_REQUESTS


async def reads(on: Program, off: Program) -> Comparison:
    """The same page of 2,000 candles again and again."""
    figures = await interleave_async(lambda: read(on), lambda: read(off), rounds=ROUNDS)
    title = "candle read, cached, metrics on / off"
    return Comparison(title, "us of CPU/answer", *figures, Target(1 + BOUND))


class Sink:
    """A watcher's wire to a transport that costs nothing: the hub's own work is what is left."""

    is_open = True
    is_behind = False
    waiting_bytes = 0

    def __init__(self) -> None:
        self.frames = 0

    def send(self, frame: Frame) -> None:
        """Take a frame."""
        self.frames += 1

    def offer(self, frame: Frame) -> bool:
        """Take a frame."""
        self.frames += 1
        return True

    def close(self, code: int, reason: str) -> None:
        """Nothing is open."""


def fan_out(count: int, *, counting: bool) -> float:
    """Return microseconds that the hub takes to deliver one candle to `count` watchers."""
    topic = Topic(SERIES, head=0, is_open=True)
    for _ in range(count):
        topic.join(Subscription(Watcher(Sink()), 0, True))
    with collecting(counting):
        start = time.process_time()
        for number in range(1, DELIVERIES + 1):
            candle = Candle(60 * number, 64210.5, 64333.25, 64180.75, 64300.5, 182.337)
            topic.take(ClosedCandles(SERIES, 60 * number - 60, (candle,), 0))
        return 1e6 * (time.process_time() - start) / DELIVERIES


def delivery(count: int) -> Comparison:
    """Delivery to `count` watchers, without the network."""
    figures = interleave(
        lambda: fan_out(count, counting=True),
        lambda: fan_out(count, counting=False),
        rounds=ROUNDS,
    )
    title = f"fan-out to {count} watchers, metrics on / off"
    return Comparison(title, "us of CPU/candle", *figures, Target(1 + BOUND))


def main() -> None:
    """Print both comparisons."""
    print_machine()
    count = int(sys.argv[1]) if len(sys.argv) > 1 else WATCHERS
    print(delivery(count), flush=True)
    switch = f"{PREFIX}ENABLE_CAPACITY_METRICS"
    with stack() as installation:
        fill()
        with (
            web(installation, **{switch: "1"}) as on,
            web(installation, **{switch: "0"}) as off,
        ):
            print(asyncio.run(reads(on, off)), flush=True)


if __name__ == "__main__":
    main()
