"""What an exchange asks for when it refuses: the pause is read from status, headers and body."""

from __future__ import annotations

import asyncio
import time

import ccxt
import pytest
from aiohttp import web

from market.domain.feed import RateLimited
from market.exchanges.asked_pause import asked_pause, pause_of
from market.exchanges.ccxt_client import known_exchanges, open_exchange
from market.exchanges.rate_limit import local_rate_limit
from tests.examples import IS_THOROUGH

NOW = 1_700_000_000
DATE = {"Date": "Tue, 14 Nov 2023 22:13:20 GMT"}
DAY = 86_400.0


@pytest.mark.parametrize(
    ("exchange", "headers", "seconds"),
    [
        ("kraken", {"Retry-After": "60"}, 60),
        ("kraken", {"retry-after": "0.2"}, 1),
        ("kraken", {"Retry-After": "60, 60"}, 60),
        ("kraken", {"Retry-After": "Tue, 14 Nov 2023 22:15:20 GMT"}, 120),
        ("kraken", {"Retry-After": str(NOW + 30)}, 30),
        ("kraken", {"Retry-After": "999999999999999999999"}, 3_600),
        ("dydx", {"Retry-After": "8000"}, 8),
        ("aevo", {"X-RETRY-AFTER": "4406000000"}, 4.406),
        ("bitmex", {"x-ratelimit-reset": str(NOW + 45)}, 45),
        ("coinbase", {"x-ratelimit-reset": "45"}, 45),
        ("any", {"X-RateLimit-Reset": "2023-11-14T22:14:20Z"}, 60),
        ("delta", {"X-RATE-LIMIT-RESET": "90000"}, 90),
        ("htx", {"ratelimit-reset": str((NOW + 3) * 1000)}, 3),
        ("kucoin", {"gw-ratelimit-reset": "12000"}, 12),
        ("bybit", {"X-Bapi-Limit-Reset-Timestamp": str((NOW + 5) * 1000)}, 5),
        ("gate", {"X-Gate-RateLimit-Reset-Timestamp": str(NOW + 7)}, 7),
        ("bitvavo", {"bitvavo-ratelimit-resetat": str((NOW + 59) * 1000)}, 59),
        ("phemex", {"x-ratelimit-retry-after-CONTRACT": "9"}, 9),
        # The longest of the reset headers, but Retry-After before all of them.
        ("any", {"ratelimit-reset": "4", "x-ratelimit-reset": "6"}, 6),
        ("any", {"Retry-After": "2", "ratelimit-reset": "40"}, 2),
    ],
)
def test_pause_is_read_from_the_headers(exchange, headers, seconds):
    assert asked_pause(exchange, 429, {**DATE, **headers}, "") == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        (f'{{"msg":"Way too many requests; IP banned until {NOW + 90}000."}}', 90),
        (f'{{"error":"The ban expires at {NOW + 30}000."}}', 30),
        (f'{{"data":{{"serverTime":1,"retryAfter":{NOW + 20}000}}}}', 20),
        ('{"error":"RATE_LIMIT_EXCEEDED","retry_after":"4406000000"}', 4.406),
        ('{"error":{"message":"too_many_requests","data":{"wait":3}}}', 3),
        ('{"retryAfter": 4500}', 4.5),
    ],
)
def test_pause_is_read_from_the_body(body, seconds):
    assert asked_pause("any", 429, DATE, body) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "headers",
    [{}, {"Retry-After": "soon"}, {"Retry-After": "-5"}, {"Retry-After": "nan"}, None]
    # Bybit and Gate send the present when the limit is not exceeded.
    + [{"X-Bapi-Limit-Reset-Timestamp": f"{NOW}000"}],
)
def test_refusal_that_names_no_wait_has_a_pause_of_ours(headers):
    headers = headers and {**DATE, **headers}
    assert asked_pause("any", 429, headers, "<html>until you stop") is None
    assert [pause_of("any", status, headers, "") for status in (429, 418)] == [10, 120]


def test_ban_may_last_longer_than_a_pause():
    headers = {"Retry-After": "500000"}
    assert pause_of("binance", 418, headers, "") == 3 * DAY
    assert pause_of("binance", 429, headers, "") == 3_600


def test_other_statuses_pause_only_with_retry_after():
    asked = {"Retry-After": "20"}
    assert [pause_of("any", status, asked, "") for status in (403, 503, 520)] == [20, 20, 20]
    assert [pause_of("any", status, {"x-ratelimit-reset": "5"}, "") for status in (403, 503)] == [
        None,
        None,
    ]
    assert pause_of("any", 200, asked, "") is None


def test_times_are_compared_with_our_clock_where_the_exchange_sends_none():
    ends = {"x-ratelimit-reset": str(int(time.time()) + 100)}
    assert asked_pause("bitmex", 429, ends, "") == pytest.approx(100, abs=5)


# Every class of ccxt


@pytest.fixture
async def refusing():
    """The address of a server that answers /status/form with that status and body."""
    forms = {"json": '{"unheard":"of"}', "list": "[]", "page": "<html>busy</html>", "none": ""}

    async def answer(request):
        status, form = int(request.match_info["status"]), request.match_info["form"]
        kind = "application/json" if form in ("json", "list") else "text/html"
        return web.Response(
            status=status, text=forms[form], headers={"Retry-After": "60"}, content_type=kind
        )

    app = web.Application()
    app.router.add_get("/{status}/{form}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    yield f"http://{host}:{port}"
    await runner.cleanup()


CASES = ["429/json", "429/list", "429/page", "429/none", "418/json", "403/json", "503/page"]
# Importing the classes of all exchanges takes longest, so that is left to `make prove`.
SOME = {"binance", "bybit", "coinbase", "dydx", "gate", "kraken", "kucoin", "okx", "sim"}


async def test_every_exchange_that_answers_429_pauses(refusing, settings):
    settings.REDIS_URL = ""
    unheeded = {}
    for exchange in sorted(known_exchanges() if IS_THOROUGH else SOME):
        client = open_exchange(exchange, "spot")
        # dYdX gives milliseconds, and less than a second is rounded up to one.
        wanted_s = 1 if exchange == "dydx" else 60
        try:
            for case in CASES:
                local_rate_limit.cache_clear()
                client.limiter = local_rate_limit(exchange)
                outcome = "nothing raised"
                try:
                    await client.fetch(f"{refusing}/{case}")
                except RateLimited as error:
                    outcome = error.retry_after_s
                except Exception as error:
                    outcome = type(error).__name__
                paused_s = (await client.limiter.reserve(0)).pause_ms / 1000
                if outcome != wanted_s or not wanted_s - 10 < paused_s <= wanted_s:
                    unheeded[f"{exchange} {case}"] = (outcome, paused_s)
        finally:
            await client.close()
    assert unheeded == {}
    local_rate_limit.cache_clear()


@pytest.mark.parametrize(
    ("exchange", "body"),
    [
        ("okx", '{"code":"50011","msg":"Too Many Requests","data":[]}'),
        ("bybit", '{"retCode":10006,"retMsg":"Too many visits!","result":{}}'),
        ("kraken", '{"error":["EGeneral:Too many requests"]}'),
    ],
)
async def test_refusal_in_the_body_of_a_200_pauses(exchange, body, settings):
    settings.REDIS_URL = ""
    client = open_exchange(exchange, "spot")
    local_rate_limit.cache_clear()
    client.limiter = local_rate_limit(exchange)

    async def answer(request):
        return web.Response(text=body, content_type="application/json")

    server = web.Server(answer)
    runner = web.ServerRunner(server, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        with pytest.raises(RateLimited):
            await client.fetch(f"http://127.0.0.1:{runner.addresses[0][1]}/")
        assert (await client.limiter.reserve(0)).pause_ms > 9_000
    finally:
        await client.close()
        await runner.cleanup()
        local_rate_limit.cache_clear()


async def test_refused_handshake_of_a_socket_pauses(refusing, settings):
    settings.REDIS_URL = ""
    client = open_exchange("kraken", "spot")
    local_rate_limit.cache_clear()
    client.limiter = local_rate_limit("kraken")
    try:
        client.open()
        with pytest.raises(ccxt.NetworkError):
            await client.watch(f"{refusing}/429/none".replace("http", "ws"), "hash")
        await asyncio.gather(*client.pausing)
        assert (await client.limiter.reserve(0)).pause_ms > 50_000
    finally:
        await client.close()
        local_rate_limit.cache_clear()
