"""How many API requests per second one address may make."""

from __future__ import annotations

import orjson
import pytest

from market.api.tests.asking import CANDLES, ask
from market.api.tests.conftest import TOKEN
from trade_canvas.edge.request_rate import BURST_S, RequestRate

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


async def test_pages_files_and_probes_have_no_limit(limited):
    for path in ("/", "/static/x.js", "/healthz"):
        assert set(await statuses(limited, path)) == {200}


async def test_request_with_the_ingest_token_has_no_limit(limited):
    headers = {"authorization": f"Bearer {TOKEN}"}
    assert set(await statuses(limited, CANDLES, headers=headers)) == {200}
    wrong = {"authorization": "Bearer wrong"}
    assert 429 in await statuses(limited, CANDLES, headers=wrong)


async def test_rate_of_zero_is_no_limit(in_memory):
    unlimited = RequestRate(answer, per_s=0)
    assert set(await statuses(unlimited, CANDLES)) == {200}
