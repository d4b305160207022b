"""ccxt's own `binance` classes against the local exchange: nothing changed but the addresses."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager

import ccxt
import ccxt.async_support
import ccxt.pro
import pytest

from lab.waiting import patience
from market.exchanges.local_address import point_at
from market.local_exchange.generated import GeneratedCandles
from market.local_exchange.server import running_exchange
from market.local_exchange.tests.local_client import until

TIMEOUT_S = 10.0
SYMBOLS = {"spot": ("BTC/USDT", "DOGE/USDT"), "swap": ("BTC/USDT:USDT", "DOGE/USDT:USDT")}


@pytest.fixture(scope="module")
def shared():
    with running_exchange(GeneratedCandles(5), push_ms=100) as running:
        yield running


@pytest.fixture
def exchange(shared):
    yield shared
    shared.clear()


@pytest.fixture(params=SYMBOLS)
def kind(request):
    return request.param


@asynccontextmanager
async def binance(exchange, kind):
    """ccxt's binance for one kind of market, bounded in time."""
    # ccxt's own rate limit makes it wait for seconds; the exchange here has a limit of its own.
    client = ccxt.pro.binance(
        {"timeout": 5_000, "enableRateLimit": False, "options": {"defaultType": kind}}
    )
    point_at(client, exchange.url)
    try:
        async with asyncio.timeout(patience(TIMEOUT_S)):
            yield client
    finally:
        await client.close()


def test_point_at_leaves_no_address_of_the_real_exchange():
    def addresses(tree):
        return [
            address
            for value in tree.values()
            for address in (addresses(value) if isinstance(value, dict) else [value])
        ]

    for client in (ccxt.binance(), ccxt.async_support.binance(), ccxt.pro.binance()):
        point_at(client, "http://127.0.0.1:1/")
        found = addresses(client.urls["api"])
        assert len(found) > 10
        assert all(one.split("://")[1].startswith("127.0.0.1:1/") for one in found)


async def test_ccxt_load_markets_knows_precision_of_both_kinds(exchange):
    async with binance(exchange, "spot") as client:
        markets = await client.load_markets()
    spot, swap = markets["BTC/USDT"], markets["BTC/USDT:USDT"]
    assert len(markets) == 20
    assert (spot["spot"], spot["active"], spot["precision"]["price"]) == (True, True, 0.01)
    assert (swap["swap"], swap["linear"], swap["precision"]["price"]) == (True, True, 0.1)


async def test_ccxt_fetch_time_and_tickers(exchange, kind):
    async with binance(exchange, kind) as client:
        tickers = await client.fetch_tickers()
        some = await client.fetch_tickers(list(SYMBOLS[kind]))
        before = int(time.time() * 1000)
        now_ms = await client.fetch_time()
        after = time.time() * 1000
    assert len(tickers) == 10 and set(some) == set(SYMBOLS[kind])
    assert before <= now_ms <= after
    for ticker in tickers.values():
        assert ticker["low"] <= ticker["last"] <= ticker["high"]
        assert ticker["quoteVolume"] > 0 and ticker["percentage"] is not None


async def test_ccxt_fetch_ohlcv_pages_join_and_the_last_row_is_open(exchange, kind):
    symbol = SYMBOLS[kind][0]
    rows = []
    async with binance(exchange, kind) as client:
        since = await client.fetch_time() - 2_500 * 60_000
        while len(page := await client.fetch_ohlcv(symbol, "1m", since=since, limit=1_000)) > 1:
            rows = rows[:-1] + page
            since = page[-1][0]
        now_ms = await client.fetch_time()
    assert len(rows) >= 2_500
    assert {b[0] - a[0] for a, b in zip(rows[:-1], rows[1:], strict=True)} == {60_000}
    assert all(a[4] == b[1] for a, b in zip(rows[:-2], rows[1:-1], strict=True))
    assert rows[-2][0] + 60_000 <= now_ms
    assert rows[-1][0] + 60_000 > now_ms - 2_000


async def test_ccxt_watches_two_series_on_one_connection_without_a_hole(exchange, kind):
    wanted = [[symbol, "1s"] for symbol in SYMBOLS[kind]]
    seen = {symbol: {} for symbol in SYMBOLS[kind]}
    async with binance(exchange, kind) as client:
        while min(map(len, seen.values())) < 3:
            for symbol, frames in (await client.watch_ohlcv_for_symbols(wanted)).items():
                seen[symbol].update({row[0]: list(row) for row in frames["1s"]})
        await until(exchange.url, lambda state: state["connections"] == 1)
        history = {
            symbol: {row[0]: row for row in await client.fetch_ohlcv(symbol, "1s", limit=20)}
            for symbol in SYMBOLS[kind]
        }
    for symbol, rows in seen.items():
        times = sorted(rows)
        assert times == list(range(times[0], times[-1] + 1, 1_000))
        # All but the newest are closed, and equal what history says of them.
        assert [rows[one] for one in times[:-1]] == [history[symbol][one] for one in times[:-1]]


async def test_ccxt_watch_and_unwatch_one_series(exchange, kind):
    symbol = SYMBOLS[kind][0]
    async with binance(exchange, kind) as client:
        rows = await client.watch_ohlcv(symbol, "1m")
        assert len(rows) == 1 and rows[0][0] % 60_000 == 0
        await client.un_watch_ohlcv(symbol, "1m")
        await until(exchange.url, lambda state: not state["subscribers"] and state["connections"])


@pytest.mark.parametrize("abort", [False, True])
async def test_ccxt_sees_dropped_connections_and_comes_back(exchange, kind, abort):
    symbol = SYMBOLS[kind][0]
    async with binance(exchange, kind) as client:
        await client.watch_ohlcv(symbol, "1s")
        exchange.fault(kind="drop_connections", abort=abort)
        with pytest.raises(ccxt.NetworkError):
            while True:
                await client.watch_ohlcv(symbol, "1s")
        assert await client.watch_ohlcv(symbol, "1s")


@pytest.mark.parametrize(
    ("status", "error"),
    [(429, ccxt.DDoSProtection), (418, ccxt.DDoSProtection), (503, ccxt.ExchangeNotAvailable)],
)
async def test_ccxt_raises_for_rest_status(exchange, status, error):
    async with binance(exchange, "swap") as client:
        await client.load_markets()
        exchange.fault(kind="rest_status", status=status, count=1)
        with pytest.raises(error):
            await client.fetch_ohlcv(SYMBOLS["swap"][0], "1m")
        assert await client.fetch_ohlcv(SYMBOLS["swap"][0], "1m", limit=2)


async def test_ccxt_watch_receives_nothing_while_the_exchange_is_silent(exchange):
    symbol = SYMBOLS["spot"][0]
    async with binance(exchange, "spot") as client:
        await client.watch_ohlcv(symbol, "1s")
        exchange.fault(kind="silent", duration_s=60)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.0):
                while True:
                    await client.watch_ohlcv(symbol, "1s")
        exchange.clear()
        assert await client.watch_ohlcv(symbol, "1s")


async def test_ccxt_sees_omitted_and_revised_candles(exchange):
    symbol = SYMBOLS["swap"][0]
    async with binance(exchange, "swap") as client:
        before = await client.fetch_ohlcv(symbol, "1h", limit=4)
        times = [row[0] // 1000 for row in before]
        exchange.fault(kind="omit", candle_times=times[:1], rest=True)
        exchange.fault(kind="revise", candle_times=times[1:2], factor=1.5)
        after = await client.fetch_ohlcv(symbol, "1h", since=before[0][0], limit=3)
    assert [row[0] // 1000 for row in after] == times[1:]
    assert after[0][4] == pytest.approx(before[1][4] * 1.5, rel=1e-3)
    assert after[1] == before[2]


async def test_ccxt_raises_for_an_unknown_symbol(exchange):
    async with binance(exchange, "spot") as client:
        await client.load_markets()
        with pytest.raises(ccxt.BadSymbol):
            await client.public_get_klines({"symbol": "NOPE", "interval": "1m"})
