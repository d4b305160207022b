"""Candles made of trades are exactly those that the exchange makes: Kraken, from a known truth."""

from __future__ import annotations

import json
import random
from decimal import Decimal
from urllib.parse import parse_qsl, urlsplit

import ccxt.async_support
import pytest

from market.domain.candle import Candle
from market.domain.feed import FeedError, Missing, TradesNotServed
from market.domain.series import SeriesId
from market.domain.timeframe import Timeframe
from market.domain.trades import Trade, TradeBars
from market.exchanges.ccxt_client import SharedLimit
from market.exchanges.ccxt_feed import CcxtFeed
from market.exchanges.rate_limit import LocalRateLimit
from market.ingest.backfill import fill
from market.ingest.gap_ranges import GapState
from market.ingest.tests.exchange_fake import memory_ports
from market.ingest.trade_check import check_trades

SERIES = SeriesId.parse("kraken:spot:BTC/USD:1m")
START = 1_700_000_040
MINUTES = 60
# Bars that the exchange serves, as Kraken serves its newest 720.
SERVED = 20


def trades_of(seed, quiet=(20, 21, 22), busy=30):
    """Trades as (nanoseconds, price, amount), in order: none in some minutes, many in a second."""
    draw = random.Random(seed)
    found = []
    for minute in range(MINUTES):
        if minute in quiet:
            continue
        opened = (START + minute * 60) * 10**9
        count = 40 if minute == busy else draw.randint(1, 6)
        # One millisecond for all in the busy one.
        times = (
            [opened + number for number in range(count)]
            if minute == busy
            else sorted(draw.sample(range(opened, opened + 60 * 10**9), count))
        )
        # At the first nanosecond of a candle, too.
        times[0] = opened if minute % 7 == 0 else times[0]
        found += [(at, draw.randint(900, 1100) / 10, draw.randint(1, 9) / 10) for at in times]
    return found


class Kraken:  # mixed into ccxt's class
    """Answers for trades and candles as Kraken does, page by page."""

    page = 7

    async def fetch(self, url, method="GET", headers=None, body=None):
        split = urlsplit(url)
        given = dict(parse_qsl(split.query))
        name = split.path.rpartition("/")[2]
        self.asked.append((name, given.get("since")))
        if self.failures:
            raise self.failures.pop(0)
        rows, last = getattr(self, f"answer_{name.lower()}")(given)
        return {"error": [], "result": {"XXBTZUSD": rows, "last": last}}

    def answer_trades(self, given):
        since = int(given["since"])
        numbered = [(*trade, number + 95) for number, trade in enumerate(self.trades)]
        found = [each for each in numbered if each[0] > since][: self.page]
        rows = [
            [f"{price:.5f}", f"{amount:.8f}", at / 10**9, "b", "l", "", number]
            for at, price, amount, number in found
        ]
        return json.loads(json.dumps(rows)), str(found[-1][0] if found else since)

    def answer_ohlc(self, given):
        bars = truth(self.trades)[-SERVED:]
        rows = [
            [bar.candle_time, *(f"{one:.1f}" for one in bar[1:5]), "0", f"{bar.volume:.8f}", 1]
            for bar in bars
        ]
        return rows, bars[-1].candle_time


def truth(trades):
    """The candles of the trades, added as decimals."""
    bars = {}
    for at, price, amount in trades:
        bars.setdefault(at // 10**9 // 60 * 60, []).append((price, Decimal(str(amount))))
    return [
        Candle(
            time,
            inside[0][0],
            max(price for price, _ in inside),
            min(price for price, _ in inside),
            inside[-1][0],
            float(sum(amount for _, amount in inside)),
        )
        for time, inside in sorted(bars.items())
    ]


@pytest.fixture
async def kraken():
    made = type("kraken", (SharedLimit, Kraken, ccxt.async_support.kraken), {})
    exchange = made({"enableRateLimit": False})
    exchange.limiter, exchange.venue = LocalRateLimit(), "kraken:spot"
    exchange.trades, exchange.asked, exchange.failures = trades_of(7), [], []
    exchange.has["fetchTime"] = False
    exchange.milliseconds = lambda: (START + MINUTES * 60) * 1000
    market = {"base": "BTC", "quote": "USD", "id": "XXBTZUSD", "symbol": "BTC/USD"}
    kind = {"type": "spot", "spot": True, "active": True, "baseId": "XXBT", "quoteId": "ZUSD"}
    exchange.set_markets(
        [dict(exchange.safe_market_structure({**market, **kind, "wsId": "BTC/USD", "info": {}}))]
    )
    yield exchange
    await exchange.close()


@pytest.fixture
def feed(kraken, monkeypatch):
    made = CcxtFeed("kraken", "spot", client=kraken)

    async def now():
        return START + MINUTES * 60 + 5

    monkeypatch.setattr(made._history, "now", now)
    return made


async def pages_of(feed, start=START, end=START + (MINUTES - 1) * 60, series=SERIES):
    return [page async for page in feed.trade_history().history(series, start, end)]


async def test_candles_made_of_trades_are_the_exchange_s(feed, kraken):
    pages = await pages_of(feed)
    made = [candle for page in pages for candle in page.candles]
    # The last one has no later trade that shows it complete.
    assert made == truth(kraken.trades)[:-1]
    assert all(len(page.candles) <= kraken.page for page in pages)


async def test_quiet_minutes_are_proven_and_not_invented(feed):
    holes = [hole for page in await pages_of(feed) for hole in page.holes]
    quiet = [(hole.from_time, hole.to_time) for hole in holes if hole.why is Missing.QUIET]
    assert quiet == [(START + 20 * 60, START + 22 * 60)]
    [open_end] = [hole for hole in holes if hole.why is not Missing.QUIET]
    assert open_end.from_time == START + (MINUTES - 1) * 60


async def test_pages_ask_for_each_time_once_and_end_to_end(feed):
    pages = await pages_of(feed)
    asked = [page.asked for page in pages]
    assert asked[0][0] == START
    assert [first for first, _ in asked[1:]] == [last + 60 for _, last in asked[:-1]]


async def test_second_with_more_trades_than_a_page_is_got_past(feed, kraken):
    assert kraken.page < 40
    await pages_of(feed, START + 30 * 60, START + 31 * 60)
    since = [int(text) for _, text in kraken.asked]
    assert since == sorted(set(since)) and len(since) > 5


async def test_time_before_the_first_trade_is_no_quiet_time(feed):
    pages = await pages_of(feed, START - 600)
    hole = pages[0].holes[0]
    assert (hole.from_time, hole.to_time, hole.why) == (START - 600, START - 60, Missing.UNANSWERED)


async def test_one_long_candle_of_many_pages(feed, kraken):
    hour = SERIES.with_timeframe(Timeframe.parse("30m"))
    first = hour.timeframe.open_of(START) + 1800
    pages = await pages_of(feed, first, first, hour)
    [made] = [candle for page in pages for candle in page.candles]
    inside = [bar for bar in truth(kraken.trades) if first <= bar.candle_time < first + 1800]
    assert (made.open, made.close) == (inside[0].open, inside[-1].close)
    amounts = (
        Decimal(str(amount))
        for at, _, amount in kraken.trades
        if first <= at // 10**9 < first + 1800
    )
    assert made.volume == float(sum(amounts))


async def test_fill_from_trades_is_resumed_where_it_stopped(feed, kraken):
    ports, end = memory_ports(), START + (MINUTES - 1) * 60
    kraken.failures = [None] * 0
    source, read = feed.trade_history(), []

    def stop_after_three(page):
        read.append(page)
        if len(read) == 3:
            kraken.failures = [ccxt.NetworkError("gone")]

    with pytest.raises(FeedError):
        await fill(source, SERIES, START, end, ports=ports, on_page=stop_after_three)
    stored = ports.store.read_after(SERIES, -1, 1000)
    assert 0 < len(stored) < MINUTES and stored == truth(kraken.trades)[: len(stored)]
    await fill(source, SERIES, stored[-1].candle_time + 60, end, ports=ports)
    assert ports.store.read_after(SERIES, -1, 1000) == truth(kraken.trades)[:-1]
    quiet = ports.ledger.entries(SERIES, states=[GapState.QUIET])
    assert [(one.from_time, one.to_time) for one in quiet] == [(START + 1200, START + 1320)]


async def test_check_compares_with_the_exchange_s_candles(feed):
    found = await check_trades(feed, feed.trade_history(), SERIES)
    assert (found.compared, found.differences) == (SERVED - 1, ())


async def test_check_names_what_differs(feed, kraken, monkeypatch):
    made = kraken.answer_ohlc

    def corrected(given):
        rows, last = made(given)
        rows[5][6] = "77.00000000"
        return rows, last

    monkeypatch.setattr(kraken, "answer_ohlc", corrected)
    found = await check_trades(feed, feed.trade_history(), SERIES)
    [difference] = found.differences
    assert difference.fields == ("volume",)


async def test_exchange_without_a_way_to_ask_is_refused(feed):
    other = SeriesId.parse("gate:spot:BTC/USD:1m")
    with pytest.raises(TradesNotServed, match="known: kraken"):
        await pages_of(feed, series=other)


async def test_answer_that_does_not_go_on_is_an_error(feed, kraken, monkeypatch):
    monkeypatch.setattr(kraken, "answer_trades", lambda given: ([["1", "1", 5, "b", "l", ""]], ""))
    with pytest.raises(FeedError, match="does not name its last trade"):
        await pages_of(feed)


def test_amounts_add_up_without_dust():
    bars = TradeBars(SERIES.timeframe)
    bars.add([Trade(0, 1, 5.0, 0.1), Trade(1, 2, 5.0, 0.2)])
    [made] = bars.add([Trade(60_000, 3, 5.0, 1.0)])
    assert made.volume == 0.3
