"""All workers share an exchange's rate, and the pauses that it asks for."""

from __future__ import annotations

import asyncio
import itertools
import uuid

import pytest
from django.conf import settings as django_settings

from market.domain.feed import RateLimited
from market.exchanges import rate_limit
from market.exchanges.rate_limit import (
    BURST_MS,
    LocalRateLimit,
    Turn,
    ValkeyRateLimit,
    rate_limit_of,
    take_turn,
)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def valkey_url():
    return django_settings.REDIS_URL


@pytest.fixture
async def shared(valkey_url):
    """Two workers' books of one exchange, and one of another exchange."""
    name = f"test-{uuid.uuid4()}"
    books = [
        ValkeyRateLimit(valkey_url, exchange, spare=LocalRateLimit())
        for exchange in (name, name, f"{name}-other")
    ]
    yield books
    for book in books:
        await book.close()


async def test_rate_limit_admits_a_burst_and_then_keeps_the_rate(clock):
    book = LocalRateLimit(clock)
    waits = [(await book.reserve(BURST_MS / 2)).wait_ms for _ in range(4)]
    assert waits == [0, 0, 0, 500]
    clock.now = 10
    assert (await book.reserve(100)).wait_ms == 0


async def test_rate_limit_reserves_nothing_when_the_wait_would_be_too_long(clock):
    book = LocalRateLimit(clock)
    await book.reserve(100_000)
    assert [(await book.reserve(1)).wait_ms for _ in range(2)] == [99_000, 99_000]
    with pytest.raises(RateLimited):
        await take_turn(book, 1)


async def test_rate_limit_pause_holds_and_the_longer_one_stays(clock):
    book = LocalRateLimit(clock)
    await book.pause(60)
    await book.pause(5)
    assert await book.reserve(1) == Turn(0, 60_000)
    with pytest.raises(RateLimited) as refused:
        await take_turn(book, 1)
    assert refused.value.retry_after_s == 60
    clock.now = 61
    await take_turn(book, 1)


async def test_rate_limit_is_one_for_all_workers(shared):
    one, other, elsewhere = shared
    for _ in range(4):
        await one.reserve(BURST_MS)
    assert 2_000 < (await other.reserve(1)).wait_ms <= 3_000
    assert (await elsewhere.reserve(1)).wait_ms == 0


async def test_rate_limit_many_workers_at_once_get_different_turns(shared):
    turns = await asyncio.gather(*(book.reserve(500) for book in shared[:2] for _ in range(5)))
    waits = sorted(turn.wait_ms for turn in turns)
    assert all(450 <= later - earlier <= 510 for earlier, later in itertools.pairwise(waits[3:]))


async def test_rate_limit_pause_holds_for_all_workers(shared):
    one, other, elsewhere = shared
    await one.pause(60)
    await one.pause(1)
    assert 59_000 < (await other.reserve(1)).pause_ms <= 60_000
    assert (await elsewhere.reserve(1)).pause_ms == 0
    with pytest.raises(RateLimited):
        await take_turn(other, 1)


async def test_rate_limit_waits_out_a_short_pause(shared):
    one, other, _ = shared
    started = asyncio.get_running_loop().time()
    await one.pause(0.2)
    await take_turn(other, 1)
    assert asyncio.get_running_loop().time() - started > 0.15


async def test_rate_limit_without_valkey_is_kept_in_the_process(clock):
    book = ValkeyRateLimit("redis://127.0.0.1:1/0", "test", spare=LocalRateLimit(clock))
    await book.pause(30)
    assert (await book.reserve(1)).pause_ms == 30_000
    await book.close()


async def test_rate_limit_is_shared_when_there_is_a_bus(settings, valkey_url):
    settings.REDIS_URL = ""
    assert rate_limit_of("kraken") is rate_limit_of("kraken")
    settings.REDIS_URL = valkey_url
    book = rate_limit_of("kraken")
    assert isinstance(book, ValkeyRateLimit)
    await book.close()


async def test_request_that_yields_is_sent_behind_one_that_does_not(monkeypatch):
    slept = []

    async def sleep(seconds):
        slept.append(seconds)
        clock[0] += seconds

    clock = [1000.0]
    book = LocalRateLimit(lambda: clock[0])
    monkeypatch.setattr(rate_limit.asyncio, "sleep", sleep)
    monkeypatch.setattr(rate_limit.time, "monotonic", lambda: clock[0])
    rate_limit.YIELDS.set(True)
    await book.reserve(BURST_MS + 3000)
    await take_turn(book, 100)
    # It had reserved nothing before its turn was near.
    assert slept == [pytest.approx(3 + (BURST_MS - rate_limit.YIELDING_BURST_MS) / 1000), 0]
    # Most of the burst is left to one that does not yield.
    assert (await book.reserve(BURST_MS - rate_limit.YIELDING_BURST_MS - 101)).wait_ms == 0
    assert (await book.reserve(1)).wait_ms == 0


async def test_request_that_always_yields_fails_in_the_end(monkeypatch):
    book = LocalRateLimit(lambda: 1000.0)
    await book.reserve(BURST_MS + 40_000, 60.0)
    rate_limit.YIELDS.set(True)
    with pytest.raises(RateLimited):
        await take_turn(book, 100)
    assert (await book.reserve(1, 60.0)).wait_ms == pytest.approx(40_000)
