"""Symbols: found by name in any case, with the scale of their prices and what is stored of them."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from factors.udf.symbols import price_scale
from lab.waiting import wait_until
from market.api.tests.asking import refusal, store
from market.exchanges import listings
from market.exchanges.price_step import PriceStep

BTC = "binance:futures:BTC/USDT"


@pytest.fixture
def udf(in_memory, switch, tmp_path, monkeypatch):
    """Binance lists two symbols; one series of it is whitelisted."""
    path = tmp_path / "whitelist.json"
    path.write_text(orjson.dumps([f"{BTC}:1m", "binance:spot:ODD/USDT:1h"]).decode())
    switch(
        enable_udf=True,
        whitelist_path=str(path),
        enable_ondemand_ingest=True,
        ondemand_exchanges="binance",
        enable_derived_timeframes=True,
    )
    monkeypatch.setattr(listings, "open_exchange", lambda exchange, market: Listed())


class Listed:
    """ccxt's face of an exchange."""

    timeframes = {"1m": "1m", "1h": "1h"}  # noqa: RUF012
    precisionMode = 4  # noqa: N815 - ccxt's name; a tick

    async def load_markets(self):
        await asyncio.sleep(0)
        swap = {"base": "BTC", "quote": "USDT", "active": True, "spot": False, "swap": True}
        spot = {"base": "ETH", "quote": "USDT", "active": True, "spot": True, "swap": False}
        return {
            "BTC/USDT:USDT": swap | {"precision": {"price": 0.25}},
            "ETH/USDT": spot | {"precision": {"price": 0.01}},
        }

    async def close(self):
        pass


@pytest.fixture
def search(api, udf):
    def ask(query="", **more):
        given = {"query": query, "type": "", "exchange": "", "limit": 30} | more
        response = api.get("/udf/search", **given)
        assert response.status_code == 200, response.content
        return response.json()

    wait_until(lambda: "ETH/USDT" in {each["symbol"] for each in ask()}, 10, "the listings")
    return ask


@pytest.fixture
def resolve(api, search):
    def ask(symbol):
        response = api.get("/udf/symbols", symbol=symbol)
        assert response.status_code == 200, response.content
        return response.json()

    return ask


def tickers(answer):
    return [each["ticker"] for each in answer]


def test_config_is_of_a_feed_that_searches(api, udf):
    body = api.get("/udf/config").json()
    assert body["supports_search"] is True and body["supports_group_request"] is False
    assert [each["value"] for each in body["exchanges"]] == ["", "binance"]
    assert [each["value"] for each in body["symbols_types"]] == ["", "futures", "spot"]
    assert {"1S", "1", "60", "1D", "1W", "1M"} <= set(body["supported_resolutions"])


def test_time_is_a_plain_number(api, udf):
    assert api.get("/udf/time").content.isdigit()


def test_search_finds_what_a_chart_asks_in_capitals(search):
    assert search("BTCUSDT") == [
        {
            "symbol": "BTC/USDT",
            "full_name": BTC,
            "ticker": BTC,
            "description": "BTC/USDT futures",
            "exchange": "binance",
            "type": "futures",
        }
    ]
    assert tickers(search("BINANCE:FUTURES:BTC/USDT")) == [BTC]


def test_search_is_limited_to_market_and_exchange(search):
    assert tickers(search(type="spot", limit=1)) == ["binance:spot:ODD/USDT"]
    assert tickers(search("ETH", exchange="BINANCE")) == ["binance:spot:ETH/USDT"]
    assert search("ETH", exchange="elsewhere") == []
    assert search("ETH", type="stock") == []


@pytest.mark.parametrize("name", [BTC, BTC.upper(), "btc/usdt", "BINANCE:futures:BTC/USDT:USDT"])
def test_symbol_is_known_by_its_names_in_any_case(resolve, name):
    assert resolve(name)["ticker"] == BTC


def test_symbol_says_what_is_read_and_what_a_chart_makes(resolve):
    store([60, 120], series=f"{BTC}:1m")
    store([5, 10], series=f"{BTC}:5s")
    store([86400], series=f"{BTC}:1d")
    found = resolve(BTC)
    assert (found["session"], found["timezone"]) == ("24x7", "Etc/UTC")
    assert (found["pricescale"], found["minmov"]) == (100, 25)
    assert (found["has_seconds"], found["seconds_multipliers"]) == (True, ["5"])
    # Derived timeframes will be stored.
    assert (found["has_intraday"], found["intraday_multipliers"]) == (
        True,
        ["1", "5", "15", "60", "240"],
    )
    assert (found["has_daily"], found["daily_multipliers"]) == (True, ["1"])
    assert found["has_weekly_and_monthly"] is False
    assert {"5S", "15S", "1", "3", "60", "1D", "1W", "1M"} <= set(found["supported_resolutions"])
    assert "1S" not in found["supported_resolutions"]


def test_symbol_in_no_listing_is_known_by_its_candles(resolve):
    store([3600], series="mine:spot:OWN/IDEA:1h", close=1.2345)
    found = resolve("mine:spot:OWN/IDEA")
    assert (found["pricescale"], found["minmov"]) == (10_000, 1)
    assert (found["has_daily"], found["intraday_multipliers"]) == (False, ["60"])
    assert found["supported_resolutions"] == ["60", "120", "180", "240", "360", "480", "720"]


def test_stored_symbol_in_capitals_is_found(resolve):
    store([3600], series="mine:spot:OWN/IDEA:1h")
    assert resolve("MINE:SPOT:OWN/IDEA")["ticker"] == "mine:spot:OWN/IDEA"


@pytest.mark.parametrize("name", ["binance:spot:NOT/LISTED", "NOT/LISTED", "::", "a:b", "BTC"])
def test_unknown_symbol_is_refused(api, search, name):
    assert refusal(api.get("/udf/symbols", symbol=name)) == (404, "unknown_symbol")


@pytest.mark.parametrize(
    ("step", "prices", "scale"),
    [
        (PriceStep(tick=0.01), [], (100, 1)),
        (PriceStep(tick=0.25), [], (100, 25)),
        (PriceStep(tick=1e-8), [], (10**8, 1)),
        (PriceStep(tick=10.0), [], (1, 10)),
        (PriceStep(tick=1.0), [], (1, 1)),
        (PriceStep(digits=5), [64_123.0], (1, 1)),
        (PriceStep(digits=5), [0.012345, 0.009], (10**6, 1)),
        (PriceStep(digits=5), [], (100, 1)),
        (PriceStep(digits=2), [64_123.0], (1, 1000)),
        (PriceStep(), [1.5, 0.00012], (10**5, 1)),
        (PriceStep(), [0.1 + 0.2], (10**12, 1)),
        (PriceStep(), [], (100, 1)),
    ],
)
def test_price_scale_is_that_of_the_tick(step, prices, scale):
    assert price_scale(step, prices) == scale
