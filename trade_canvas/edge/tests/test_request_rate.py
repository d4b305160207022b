"""How many API requests per second one address may make."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from market.api.tests.asking import CANDLES, ask
from market.api.tests.conftest import TOKEN
from market.costs import ASSUMED_MS, COST, REQUEST_MS, Cost, CostBudget
from market.costs import BURST_S as COST_BURST_S
from trade_canvas.edge.request_rate import BURST_S, RequestRate
from trade_canvas.edge.request_threads import RequestPool

PER_S = 2
BURST = PER_S * BURST_S


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


async def answer(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def limited(in_memory, clock):
    """The limit in front of an application that answers 200."""
    return RequestRate(answer, per_s=PER_S, clock=clock)


async def statuses(application, path, *, tries=BURST + 1, **given):
    return [(await ask(application, path, **given)).status for _ in range(tries)]


async def test_request_beyond_the_rate_is_refused_with_a_time_to_wait(limited, clock):
    assert await statuses(limited, CANDLES) == [200] * BURST + [429]
    refused = await ask(limited, CANDLES)
    assert orjson.loads(refused.body)["code"] == "rate_limited"
    assert refused.headers["retry-after"] == "1"
    clock.now += 1
    assert await statuses(limited, CANDLES, tries=PER_S + 1) == [200] * PER_S + [429]


@pytest.mark.parametrize("path", ["/", "/static/x.js", "/admin/login/", "/readyz"])
async def test_pages_files_log_ins_and_probes_have_the_limit_too(limited, path):
    through_a_proxy = {"x-forwarded-for": "203.0.113.7"}
    assert await statuses(limited, path, headers=through_a_proxy) == [200] * BURST + [429]


async def test_probe_of_the_operators_network_has_no_limit(limited):
    assert set(await statuses(limited, "/readyz")) == {200}


class Costly:
    """An application that costs so many milliseconds, and answers so many bytes."""

    def __init__(self):
        self.ms, self.size = 0.0, 0

    async def __call__(self, scope, receive, send):
        COST.get().ms += self.ms
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": bytes(self.size)})


COST_PER_S = 100


@pytest.fixture
def costly():
    return Costly()


@pytest.fixture
def budget(in_memory, clock, costly):
    return RequestRate(costly, per_s=0, costs=CostBudget(COST_PER_S, clock=clock))


async def test_reads_are_paid_for_by_what_they_cost(budget, costly, clock):
    costly.ms = COST_PER_S * COST_BURST_S / 2
    assert await statuses(budget, CANDLES, tries=3) == [200, 200, 429]
    assert (await ask(budget, CANDLES)).headers["retry-after"] == "1"
    clock.now += COST_BURST_S / 2
    assert await statuses(budget, CANDLES, tries=2) == [200, 429]


async def test_cheap_reads_are_many(budget):
    assert set(await statuses(budget, CANDLES, tries=COST_PER_S * COST_BURST_S)) == {200}


async def test_bytes_cost_too(budget, costly):
    costly.size = 10_000_000
    # About five milliseconds each.
    assert 429 in await statuses(budget, CANDLES, tries=COST_PER_S * COST_BURST_S // 5 + 1)


async def test_many_that_begin_together_are_refused(in_memory, clock):
    go = asyncio.Event()

    async def slow(scope, receive, send):
        await go.wait()
        await answer(scope, receive, send)

    budget = RequestRate(slow, per_s=0, costs=CostBudget(COST_PER_S, clock=clock))
    many = int(COST_PER_S * COST_BURST_S / ASSUMED_MS)
    asked = [asyncio.create_task(ask(budget, CANDLES)) for _ in range(many + 1)]
    await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
    go.set()
    found = [each.status for each in await asyncio.gather(*asked)]
    assert found.count(429) == 1


async def test_threads_measure_what_they_do():
    pool = RequestPool(1)
    token = COST.set(cost := Cost())
    try:
        pool.submit(lambda: sum(range(2_000_000))).result()
    finally:
        COST.reset(token)
        pool.shutdown()
    assert cost.ms > REQUEST_MS + 1


async def test_request_with_the_ingest_token_has_no_limit(limited):
    headers = {"authorization": f"Bearer {TOKEN}"}
    assert set(await statuses(limited, CANDLES, headers=headers)) == {200}
    wrong = {"authorization": "Bearer wrong"}
    assert 429 in await statuses(limited, CANDLES, headers=wrong)


async def test_rate_of_zero_is_no_limit(in_memory):
    unlimited = RequestRate(answer, per_s=0)
    assert set(await statuses(unlimited, CANDLES)) == {200}
