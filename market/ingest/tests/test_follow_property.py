"""The store ends equal to the exchange, whatever the stream omits, repeats or reorders."""

from __future__ import annotations

import asyncio

from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from lab.waiting import eventually, patience
from market.domain.feed import FeedError, RateLimited
from market.ingest.breaker import Breaker, BreakerConfig
from market.ingest.due import FollowLimits
from market.ingest.follow import Follower
from market.ingest.gap_ranges import GapState
from market.ingest.tests.exchange_fake import (
    SERIES,
    START,
    STEP,
    FakeFeed,
    candle_at,
    memory_ports,
    stored,
)
from market.pipeline import PipelineError
from tests.examples import examples

LIMITS = FollowLimits(
    new_series_candles=50,
    recheck_candles=60,
    flush_s=0.002,
    forming_interval_s=0.001,
    overdue_s=0.004,
    longest_overdue_s=0.01,
    recheck_s=60.0,
    tick_s=0.05,
)
PAUSES = BreakerConfig(backoff_initial_s=0.002, backoff_max_s=0.004, open_cooldown_s=0.01)

# How the stream sends a candle; an absent one does not exist.
fates = st.sampled_from(["sent", "sent", "sent", "twice", "dropped", "late", "absent"])
disturbances = st.sampled_from(
    ["", "", "", "interrupted", "rest fails", "rest limited", "write fails", "forming", "revised"]
)
scripts = st.lists(st.tuples(fates, disturbances, st.booleans()), min_size=1, max_size=30)


class Play:
    """One run of a follower against a script."""

    def __init__(self):
        self.feed = FakeFeed(page=4)
        self.ports = memory_ports()
        self.late = []
        self.feed.add_candle(0)

    async def act(self, number, fate, disturbance):
        if fate == "absent":
            self.feed.time = START + (number + 1) * STEP
        else:
            self.send(self.feed.add_candle(number), fate)
        self.disturb(number, disturbance)

    def send(self, candle, fate):
        if fate == "late":
            self.late.append(candle)
            return
        for _ in range({"sent": 1, "twice": 2, "dropped": 0}[fate]):
            self.feed.send_closed(candle)
        while self.late and fate == "sent":
            self.feed.send_closed(self.late.pop())

    def disturb(self, number, disturbance):
        if disturbance == "interrupted":
            self.feed.send_interrupted()
        elif disturbance == "rest fails":
            self.feed.faults.append(FeedError("503"))
            self.feed.pages_before_fault = number % 3
        elif disturbance == "rest limited":
            self.feed.faults.append(RateLimited("429", 0.002))
        elif disturbance == "write fails":
            self.ports.committer.pipeline.faults.append(PipelineError("test", SERIES))
        elif disturbance == "forming":
            self.feed.send_forming(candle_at(number + 1, 50))
        elif disturbance == "revised" and number in self.truth_numbers():
            self.feed.send_closed(self.feed.add_candle(number, price=70.0 + number))

    def truth_numbers(self):
        return {(time - START) // STEP for time in self.feed.candles[SERIES]}

    @property
    def truth(self):
        candles = self.feed.candles[SERIES]
        return [candles[time] for time in sorted(candles)]

    async def settle(self, length):
        """Send a last candle and wait until store and exchange agree."""
        self.feed.faults.clear()
        self.ports.committer.pipeline.faults.clear()
        self.feed.send_closed(self.feed.add_candle(length))
        self.feed.send_interrupted()
        await eventually(lambda: stored(self.ports) == self.truth and not self.unnoted())
        # Publishing follows storing.
        await eventually(lambda: {c.candle_time for c in self.truth} <= self.announced())

    def announced(self):
        """Open times that were published, as new or as revised."""
        past = {c.candle_time for change in self.ports.publisher.changes for c in change.past}
        return set(self.ports.publisher.fresh[SERIES]) | past

    def unnoted(self):
        """Open times that are missing between stored candles and not in the ledger."""
        times = [candle.candle_time for candle in stored(self.ports)]
        noted = {
            time
            for entry in self.ports.ledger.entries(SERIES)
            if entry.state is not GapState.REPAIRED
            for time in range(entry.from_time, entry.to_time + STEP, STEP)
        }
        return set(range(times[0], times[-1], STEP)) - set(times) - noted


async def play(script):
    it = Play()
    token = it.ports.store.next_fence(SERIES)
    stop = asyncio.Event()

    async def wanted():
        return {SERIES: token}

    follower = Follower(
        it.feed,
        it.ports,
        report=lambda series, report: None,
        limits=LIMITS,
        new_breaker=lambda: Breaker(PAUSES),
    )
    running = asyncio.create_task(follower.run(wanted, stop))
    try:
        for number, (fate, disturbance, pauses) in enumerate(script, start=1):
            await it.act(number, fate, disturbance)
            await asyncio.sleep(0.003 if pauses else 0)
        await it.settle(len(script) + 1)
    finally:
        stop.set()
        await asyncio.wait_for(running, patience(2))
    return it


@examples(1, suppress_health_check=[HealthCheck.too_slow])
@given(scripts)
def test_store_ends_as_the_truth_whatever_the_stream_does(script):
    it = asyncio.run(play(script))
    times = [candle.candle_time for candle in stored(it.ports)]
    announced = it.ports.publisher.fresh[SERIES]
    assert announced == sorted(set(announced))
    revised = {c.candle_time for change in it.ports.publisher.changes for c in change.past}
    assert set(times) <= set(announced) | revised
    assert_forming_is_never_late(it.ports.publisher.order)


def assert_forming_is_never_late(order):
    head = -1
    for kind, time in order:
        if kind == "closed":
            head = time
        assert kind == "closed" or time > head
