"""How many requests a second one address may make."""

from __future__ import annotations

import orjson
import pytest

from market.api.tests.asking import CANDLES, ask
from market.api.tests.conftest import TOKEN
from trade_canvas.edge.read_limit import BURST_S, MAX_REMEMBERED, ReadLimit, RequestRate

PER_S = 2
BURST = int(PER_S * BURST_S)


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def rate(clock):
    return RequestRate(clock)


def admitted(rate, caller="a", tries=100):
    return sum(rate.wait_s(caller, PER_S) == 0 for _ in range(tries))


def test_burst_is_admitted_and_then_the_rate(rate, clock):
    assert admitted(rate) == BURST
    clock.now += 1
    assert admitted(rate) == PER_S
    clock.now += 10 * BURST_S
    assert admitted(rate) == BURST


def test_refused_requests_don_t_put_the_next_one_off(rate, clock):
    admitted(rate, tries=10_000)
    wait_s = rate.wait_s("a", PER_S)
    assert 0 < wait_s <= 1 / PER_S
    clock.now += wait_s
    assert rate.wait_s("a", PER_S) == 0


def test_callers_don_t_share_a_rate(rate):
    admitted(rate, "a")
    assert admitted(rate, "b") == BURST


def test_callers_remembered_are_bounded(rate):
    for number in range(MAX_REMEMBERED + 50):
        rate.wait_s(str(number), PER_S)
    assert len(rate._paid_until) == MAX_REMEMBERED


@pytest.fixture
def limited(in_memory, switch, clock):
    """The limit in front of an application that answers 200."""
    switch(api_requests_per_s=PER_S)

    async def answer(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    return ReadLimit(answer, clock=clock)


async def statuses(application, path, *, tries=BURST + 1, **given):
    return [(await ask(application, path, **given)).status for _ in range(tries)]


async def test_request_beyond_the_rate_is_refused_with_a_time_to_wait(limited):
    assert await statuses(limited, CANDLES) == [200] * BURST + [429]
    answer = await ask(limited, CANDLES)
    assert orjson.loads(answer.body)["code"] == "rate_limited"
    assert answer.headers["retry-after"] == "1"


async def test_pages_files_and_probes_have_no_limit(limited):
    for path in ("/", "/static/x.js", "/healthz"):
        assert set(await statuses(limited, path)) == {200}


async def test_holder_of_the_token_has_no_limit(limited):
    headers = {"authorization": f"Bearer {TOKEN}"}
    assert set(await statuses(limited, CANDLES, headers=headers)) == {200}
    wrong = {"authorization": "Bearer wrong"}
    assert 429 in await statuses(limited, CANDLES, headers=wrong)


async def test_switched_off_nobody_is_counted(limited, switch):
    switch(api_requests_per_s=0)
    assert set(await statuses(limited, CANDLES)) == {200}
    assert not limited._rate._paid_until
