"""The local exchange's REST endpoints and the faults that show on them."""

from __future__ import annotations

import asyncio
import time

import pytest

from lab.waiting import patience
from market.local_exchange.candles import INTERVALS
from market.local_exchange.generated import LISTED_MS, GeneratedCandles
from market.local_exchange.rest import WeightLedger
from market.local_exchange.server import running_exchange
from market.local_exchange.tests.local_client import ask, read

MINUTE_MS = 60_000
PATHS = {"spot": "/api/v3", "futures": "/fapi/v1"}
BTC = {"symbol": "BTCUSDT", "interval": "1m"}


@pytest.fixture(scope="module")
def shared():
    with running_exchange(GeneratedCandles(5)) as running:
        yield running


@pytest.fixture
def exchange(shared):
    yield shared
    shared.clear()


@pytest.fixture(params=PATHS)
def path(request):
    return PATHS[request.param]


async def test_time_is_the_wall_clock(exchange, path):
    before = int(time.time() * 1000)
    body = await read(exchange.url, path + "/time")
    assert before <= body["serverTime"] <= time.time() * 1000
    assert await read(exchange.url, path + "/ping") == {}


async def test_klines_default_to_the_newest_500_the_last_one_open(exchange, path):
    rows = await read(exchange.url, path + "/klines", **BTC)
    now_ms = (await read(exchange.url, path + "/time"))["serverTime"]
    assert len(rows) == 500
    assert [row[0] for row in rows] == list(range(rows[0][0], rows[-1][0] + 1, MINUTE_MS))
    assert rows[-1][6] == rows[-1][0] + MINUTE_MS - 1
    assert rows[-2][6] < now_ms <= rows[-1][6] + 2_000


async def test_klines_rows_have_binances_shape(exchange, path):
    [row] = await read(exchange.url, path + "/klines", **BTC, limit=1)
    kinds = [int, *[str] * 5, int, str, int, str, str, str]
    assert [type(value) for value in row] == kinds
    low, high = float(row[3]), float(row[2])
    assert low <= min(float(row[1]), float(row[4])) and high >= max(float(row[1]), float(row[4]))


async def test_klines_bounds_are_inclusive_open_times(exchange, path):
    start = LISTED_MS + 1_000 * MINUTE_MS
    query = BTC | {"startTime": start, "endTime": start + 3 * MINUTE_MS}
    rows = await read(exchange.url, path + "/klines", **query)
    assert [row[0] for row in rows] == [start + n * MINUTE_MS for n in range(4)]
    inner = BTC | {"startTime": start + 1, "endTime": start + 3 * MINUTE_MS - 1}
    assert await read(exchange.url, path + "/klines", **inner) == rows[1:3]


async def test_klines_page_from_start_or_up_to_end(exchange, path):
    start = LISTED_MS + 1_000 * MINUTE_MS
    first = await read(exchange.url, path + "/klines", **BTC, startTime=start, limit=3)
    newest = await read(exchange.url, path + "/klines", **BTC, endTime=start, limit=3)
    assert [row[0] for row in first] == [start, start + MINUTE_MS, start + 2 * MINUTE_MS]
    assert [row[0] for row in newest] == [start - 2 * MINUTE_MS, start - MINUTE_MS, start]


async def test_klines_begin_at_listing_and_end_now(exchange, path):
    oldest = await read(exchange.url, path + "/klines", **BTC, startTime=0, limit=1)
    ahead = int(time.time() * 1000) + 3_600_000
    assert oldest[0][0] == LISTED_MS
    assert await read(exchange.url, path + "/klines", **BTC, startTime=ahead) == []
    late = await read(exchange.url, path + "/klines", **BTC, endTime=10**19, limit=1)
    assert len(late) == 1


async def test_klines_spot_clamps_the_limit_and_futures_refuse_it(exchange):
    spot = await read(exchange.url, "/api/v3/klines", **BTC, limit=5_000)
    futures = await read(exchange.url, "/fapi/v1/klines", **BTC, limit=1_500)
    status, _, body = await ask(exchange.url, "/fapi/v1/klines", **BTC, limit=1_501)
    assert (len(spot), len(futures)) == (1_000, 1_500)
    assert (status, body["code"]) == (400, -1130)


@pytest.mark.parametrize("interval", INTERVALS)
async def test_klines_know_every_interval(exchange, interval):
    query = {"symbol": "ETHUSDT", "interval": interval, "limit": 3}
    rows = await read(exchange.url, "/fapi/v1/klines", **query)
    assert [row[0] - rows[0][0] for row in rows] == [n * INTERVALS[interval] for n in range(3)]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"interval": "1m"}, -1102),
        ({"symbol": "", "interval": "1m"}, -1102),
        ({"symbol": "BTCUSDT"}, -1102),
        ({"symbol": "NOPEUSDT", "interval": "1m"}, -1121),
        ({"symbol": "BTCUSDT", "interval": "7m"}, -1120),
        (BTC | {"limit": "ten"}, -1100),
        (BTC | {"startTime": "-5"}, -1100),
        (BTC | {"endTime": "1e3"}, -1100),
        (BTC | {"limit": 0}, -1130),
    ],
)
async def test_klines_refuse_bad_queries(exchange, path, query, code):
    status, _, body = await ask(exchange.url, path + "/klines", **query)
    assert (status, body["code"]) == (400, code)
    assert body["msg"]


async def test_exchange_info_lists_the_markets_apart(exchange):
    spot = await read(exchange.url, "/api/v3/exchangeInfo")
    futures = await read(exchange.url, "/fapi/v1/exchangeInfo")
    assert {one["symbol"] for one in spot["symbols"]} >= {"BTCUSDT", "DOGEUSDT"}
    assert not any("contractType" in one for one in spot["symbols"])
    assert {one["contractType"] for one in futures["symbols"]} == {"PERPETUAL"}


async def test_tickers_of_all_some_and_one(exchange):
    every = await read(exchange.url, "/api/v3/ticker/24hr")
    some = await read(exchange.url, "/api/v3/ticker/24hr", symbols='["BTCUSDT","ADAUSDT"]')
    one = await read(exchange.url, "/fapi/v1/ticker/24hr", symbol="BTCUSDT")
    assert len(every) == 10
    assert [ticker["symbol"] for ticker in some] == ["BTCUSDT", "ADAUSDT"]
    assert float(one["lowPrice"]) <= float(one["lastPrice"]) <= float(one["highPrice"])
    for bad in ('["NOPE"]', "[1]", "{", '"BTCUSDT"'):
        status, _, _ = await ask(exchange.url, "/api/v3/ticker/24hr", symbols=bad)
        assert status == 400


async def test_weight_is_counted_and_refused_per_market():
    with running_exchange(GeneratedCandles(5), weight_limits={"spot": 5}) as exchange:
        first = await ask(exchange.url, "/api/v3/klines", **BTC, limit=1)
        refused = await ask(exchange.url, "/api/v3/exchangeInfo")
        other = await ask(exchange.url, "/fapi/v1/ping")
    assert (first[0], first[1]["X-MBX-USED-WEIGHT-1M"]) == (200, "2")
    assert (refused[0], refused[2]["code"]) == (429, -1003)
    assert 1 <= int(refused[1]["Retry-After"]) <= 61
    assert other[0] == 200


def test_weight_ledger_refuses_then_bans_then_forgives():
    moment = 600.0
    ledger = WeightLedger(10, clock=lambda: moment)
    assert ledger.charge("a", 10) is None
    refusals = [ledger.charge("a", 1) for _ in range(11)]
    assert [refusal.status for refusal in refusals] == [429] * 10 + [418]
    assert ledger.charge("b", 10) is None
    moment = 660.0
    assert ledger.charge("a", 1).status == 418
    moment = 721.0
    assert ledger.charge("a", 1) is None
    assert ledger.used("a") == 1


async def fault(exchange, **body):
    status, _, answer = await ask(exchange.url, "/control/faults", method="POST", body=body)
    assert status == 201, answer
    return answer["id"]


async def test_fault_rest_status_ends_after_its_count(exchange):
    await fault(exchange, kind="rest_status", status=429, retry_after_s=7, count=2)
    answers = [await ask(exchange.url, "/api/v3/time") for _ in range(3)]
    assert [answer[0] for answer in answers] == [429, 429, 200]
    assert answers[0][1]["Retry-After"] == "7"


async def test_fault_rest_status_keeps_to_its_scope(exchange):
    scope = {"market": "futures", "symbol": "BTCUSDT"}
    await fault(exchange, kind="rest_status", status=502, duration_s=60, scope=scope)
    hit, _, _ = await ask(exchange.url, "/fapi/v1/klines", **BTC)
    other_symbol, _, _ = await ask(exchange.url, "/fapi/v1/klines", symbol="ETHUSDT", interval="1m")
    other_market, _, _ = await ask(exchange.url, "/api/v3/klines", **BTC)
    assert (hit, other_symbol, other_market) == (502, 200, 200)


async def test_fault_delay_makes_rest_slow(exchange):
    await fault(exchange, kind="delay", delay_ms=300, target="rest")
    begun = time.monotonic()
    await read(exchange.url, "/api/v3/time")
    assert time.monotonic() - begun >= 0.3


async def test_fault_omit_keeps_candles_from_rest_but_not_from_truth(exchange):
    query = {"startTime": LISTED_MS, "limit": 4, **BTC}
    before = await read(exchange.url, "/api/v3/klines", **query)
    missing = [LISTED_MS // 1000 + 60, LISTED_MS // 1000 + 120]
    number = await fault(exchange, kind="omit", candle_times=missing, rest=True)
    during = await read(exchange.url, "/api/v3/klines", **query)
    truth = await read(
        exchange.url, "/control/truth", **BTC, start=LISTED_MS // 1000, end=missing[1]
    )
    await ask(exchange.url, f"/control/faults/{number}", method="DELETE")
    after = await read(exchange.url, "/api/v3/klines", **query)
    assert [row[0] - LISTED_MS for row in during] == [0, 180_000, 240_000, 300_000]
    assert [row["candle_time"] for row in truth["candles"]][1:] == missing
    assert after == before


async def test_fault_omit_on_streams_only_leaves_rest_whole(exchange):
    await fault(exchange, kind="omit", candle_times=[LISTED_MS // 1000])
    rows = await read(exchange.url, "/api/v3/klines", **BTC, startTime=LISTED_MS, limit=1)
    assert rows[0][0] == LISTED_MS


async def test_fault_revise_changes_one_candle_and_the_truth(exchange):
    query = {"startTime": LISTED_MS, "limit": 3, **BTC}
    before = await read(exchange.url, "/api/v3/klines", **query)
    second = LISTED_MS // 1000 + 60
    await fault(
        exchange,
        kind="revise",
        candle_times=[second],
        values={"close": 1.25, "volume": 3},
        scope={"market": "spot", **BTC},
    )
    after = await read(exchange.url, "/api/v3/klines", **query)
    truth = await read(exchange.url, "/control/truth", **BTC, start=second, end=second)
    assert after[0] == before[0] and after[2] == before[2]
    assert (float(after[1][4]), float(after[1][3]), float(after[1][5])) == (1.25, 1.25, 3.0)
    assert (truth["candles"][0]["close"], truth["candles"][0]["volume"]) == (1.25, 3.0)


async def test_fault_revise_by_factor_reaches_the_newest_closed(exchange):
    query = {"symbol": "BTCUSDT", "interval": "1d", "limit": 4}
    before = await read(exchange.url, "/api/v3/klines", **query)
    await fault(exchange, kind="revise", last=2, factor=2.0)
    after = await read(exchange.url, "/api/v3/klines", **query)
    changes = [float(a[4]) / float(b[4]) for a, b in zip(after[:3], before[:3], strict=True)]
    assert changes == [1.0, 2.0, 2.0]
    # The open candle is no closed one.
    assert after[3][1] == before[3][1]


async def test_fault_clock_skew_shifts_the_exchange(exchange):
    await fault(exchange, kind="clock_skew", skew_ms=-5_000)
    skewed = (await read(exchange.url, "/api/v3/time"))["serverTime"]
    await ask(exchange.url, "/control/faults", method="DELETE")
    right = (await read(exchange.url, "/api/v3/time"))["serverTime"]
    assert 4_000 < right - skewed < 7_000


async def test_fault_ends_with_its_duration(exchange):
    await fault(exchange, kind="rest_status", status=503, duration_s=0.2)
    assert (await ask(exchange.url, "/api/v3/time"))[0] == 503
    async with asyncio.timeout(patience()):
        while (await ask(exchange.url, "/api/v3/time"))[0] == 503:
            pass
    assert (await read(exchange.url, "/control/faults"))["faults"] == []


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"kind": "earthquake"},
        {"kind": "silent"},
        {"kind": "delay"},
        {"kind": "delay", "delay_ms": -1},
        {"kind": "delay", "delay_ms": True},
        {"kind": "delay", "delay_ms": 5, "target": "moon"},
        {"kind": "omit"},
        {"kind": "omit", "candle_times": ["a"]},
        {"kind": "revise", "last": 1},
        {"kind": "revise", "last": 1, "values": {"price": 1}},
        {"kind": "rest_status", "status": 200, "count": 1},
        {"kind": "rest_status"},
        {"kind": "clock_skew"},
        {"kind": "duplicate", "times": 1},
        {"kind": "duplicate", "scope": {"market": "moon"}},
        {"kind": "duplicate", "scope": {"color": "red"}},
        {"kind": "duplicate", "colour": "red"},
    ],
)
async def test_fault_that_makes_no_sense_is_refused(exchange, body):
    status, _, answer = await ask(exchange.url, "/control/faults", method="POST", body=body)
    assert (status, answer["code"]) == (400, "bad_fault")
    assert (await read(exchange.url, "/control/faults"))["faults"] == []


async def test_truth_gives_closed_candles_equal_to_klines(exchange):
    rows = await read(exchange.url, "/fapi/v1/klines", **BTC, limit=20)
    truth = await read(
        exchange.url, "/control/truth", market="futures", **BTC, start=rows[0][0] // 1000
    )
    expected = [[row[0] // 1000, *map(float, row[1:6])] for row in rows[:-1]]
    assert [list(one.values()) for one in truth["candles"]][:19] == expected


async def test_truth_refuses_unknown_series_and_times(exchange):
    for query in ({}, BTC | {"market": "moon"}, BTC | {"interval": "9m"}):
        status, _, body = await ask(exchange.url, "/control/truth", **query)
        assert (status, body["code"]) == (400, "unknown_series")
    status, _, body = await ask(exchange.url, "/control/truth", **BTC, start="noon")
    assert (status, body["code"]) == (400, "bad_time")


async def test_state_shows_connections_answers_and_faults(exchange):
    await read(exchange.url, "/api/v3/time")
    await fault(exchange, kind="delay", delay_ms=1, target="streams")
    state = await read(exchange.url, "/control/state")
    assert "futures:BTCUSDT" in state["listings"]
    assert state["rest_answers"]["spot"]["200"] >= 1
    assert [one["kind"] for one in state["faults"]] == ["delay"]
