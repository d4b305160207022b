"""The real ccxt classes against a real local exchange, well and badly behaved."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import time
import urllib.parse
import urllib.request
from dataclasses import replace

import aiohttp
import pytest

from lab.waiting import eventually, patience
from market.domain.candle import Candle
from market.domain.feed import (
    Closed,
    FeedError,
    FeedRefused,
    Forming,
    Interrupted,
    RateLimited,
)
from market.domain.series import SeriesId
from market.exchanges.answer_limit import MAX_MESSAGE_BYTES, LimitedResponse, ccxt_client
from market.exchanges.ccxt_client import symbol_of
from market.exchanges.ccxt_feed import known_exchanges, open_feed
from market.exchanges.rows import checked
from market.exchanges.streams import StreamLimits
from market.ingest.due import FollowLimits
from market.ingest.follow import Follower
from market.ingest.gap_ranges import GapState
from market.ingest.tests.exchange_fake import memory_ports, stored

SPOT = SeriesId.parse("sim:spot:BTC/USDT:1s")
SPOT_TWO = SeriesId.parse("sim:spot:ETH/USDT:1s")
MINUTES = SeriesId.parse("sim:spot:BTC/USDT:1m")
FUTURES = SeriesId.parse("sim:futures:BTC/USDT:1m")
LIMITS = StreamLimits(fast_patience=1.5, check_every=0.05, first_retry=0.05, longest_retry=0.2)
FOLLOW = FollowLimits(
    new_series_candles=20, flush_s=0.05, overdue_s=0.5, longest_overdue_s=1.0, tick_s=0.1
)


@contextlib.asynccontextmanager
async def feeding(market="spot"):
    feed = open_feed("sim", market, limits=LIMITS)
    try:
        yield feed
    finally:
        await feed.close()


@contextlib.asynccontextmanager
async def listening(*series):
    """A feed that follows the series, and the growing list of its events."""
    async with feeding(series[0].market) as feed:
        events = []

        async def listen():
            async for event in feed.events():
                events.append(event)

        task = asyncio.create_task(listen())
        await feed.follow(frozenset(series))
        yield feed, events
        await feed.close()
        await task


def truth(exchange, series, start, end):
    """What the exchange knows to be true, by its control endpoint."""
    query = urllib.parse.urlencode(
        {
            "market": series.market,
            "symbol": series.symbol.replace("/", ""),
            "interval": str(series.timeframe),
            "start": start,
            "end": end,
        }
    )
    with urllib.request.urlopen(
        f"{exchange.url}/control/truth?{query}", timeout=patience(5)
    ) as answer:
        return [Candle(**candle) for candle in json.load(answer)["candles"]]


async def read(feed, series, start, end):
    return [candle async for page in feed.history(series, start, end) for candle in page.candles]


def closed_times(events, series=SPOT):
    return [e.candle.candle_time for e in events if isinstance(e, Closed) and e.series == series]


# History


@pytest.mark.parametrize("series", [SPOT, FUTURES])
async def test_history_gives_every_closed_candle_once_over_many_pages(exchange, series):
    step = series.timeframe.seconds
    async with feeding(series.market) as feed:
        end = series.timeframe.latest_closed(await feed.now())
        start = end - 2_300 * step
        assert await read(feed, series, start, end) == truth(exchange, series, start, end)


async def test_history_never_gives_the_open_candle(exchange):
    async with feeding() as feed:
        now = await feed.now()
        candles = await read(feed, SPOT, int(now) - 5, int(now) + 1_000)
        assert candles[-1].candle_time + 1 <= await feed.now()


async def test_history_goes_by_the_exchanges_clock(exchange):
    exchange.fault(kind="clock_skew", skew_ms=-3_600_000)
    async with feeding() as feed:
        assert await feed.now() < time.time() - 3_599
        candles = await read(feed, MINUTES, int(time.time()) - 7_200, int(time.time()))
        assert candles[-1].candle_time <= time.time() - 3_600 - 60


@pytest.mark.parametrize("packed", [False, True])
async def test_answer_beyond_the_limit_is_cut_and_the_next_one_is_read(
    exchange, packed, monkeypatch
):
    monkeypatch.setattr(LimitedResponse, "most", 2 * 2**20)
    async with feeding() as feed:
        now = int(await feed.now())
        await read(feed, SPOT, now - 5, now)
        exchange.fault(kind="flood", megabytes=2_000, gzip=packed, count=1)
        with pytest.raises(FeedError, match="more than 2 MiB"):
            await read(feed, SPOT, now - 5, now)
        assert await read(feed, SPOT, now - 5, now - 1) == truth(exchange, SPOT, now - 5, now - 1)


async def test_message_that_cannot_be_read_ends_its_socket():
    closed = []

    class Broken(ccxt_client.Client):
        def __init__(self):
            self.gunzip, self.verbose, self.decompressBinary = True, False, True

        def on_error(self, error):
            closed.append(str(error))

    bomb = gzip.compress(b" " * (MAX_MESSAGE_BYTES + 1))
    for data, reason in ((bomb, "more than 10 MiB"), (b"no gzip", "header check")):
        Broken().handle_message(aiohttp.WSMessage(aiohttp.WSMsgType.BINARY, data, None))
        assert reason in closed.pop()


async def test_step_of_our_wall_clock_moves_no_exchange(exchange, monkeypatch):
    async with feeding() as feed:
        right = await feed.now()
        wall = time.time
        monkeypatch.setattr(time, "time", lambda: wall() + 300)
        assert right <= await feed.now() < right + 10


async def test_history_before_the_listing_is_empty(exchange):
    async with feeding() as feed:
        assert await read(feed, MINUTES, 1_000_000_000, 1_000_600_000) == []


@pytest.mark.parametrize(
    "text",
    ["sim:spot:NO/SUCH:1m", "sim:spot:BTC/USDT:7m", "sim:spot:BTCUSDT:1m", "sim:spot:a:b:1m"],
)
async def test_history_of_what_does_not_exist_is_refused(exchange, text):
    async with feeding() as feed:
        with pytest.raises(FeedRefused):
            await read(feed, SeriesId.parse(text), 0, 100)


@pytest.mark.parametrize("status", [429, 418])
async def test_history_asks_nothing_more_while_the_exchange_wants_a_pause(exchange, status):
    async with feeding() as feed:
        await read(feed, MINUTES, int(time.time()) - 300, int(time.time()))
        exchange.fault(kind="rest_status", status=status, count=1, retry_after_s=30)
        with pytest.raises(RateLimited) as refused:
            await read(feed, MINUTES, int(time.time()) - 300, int(time.time()))
        assert refused.value.retry_after_s == 30
    # Another worker's feed of the same exchange keeps quiet too.
    async with feeding() as feed:
        with pytest.raises(RateLimited) as refused:
            await read(feed, MINUTES, int(time.time()) - 300, int(time.time()))
        assert 25 < refused.value.retry_after_s <= 30


async def test_history_raises_a_server_error_as_temporary(exchange):
    async with feeding() as feed:
        await feed.now()
        exchange.fault(kind="rest_status", status=503, duration_s=60)
        with pytest.raises(FeedError) as failed:
            await read(feed, MINUTES, int(time.time()) - 300, int(time.time()))
        assert not isinstance(failed.value, FeedRefused)
        exchange.clear()
        assert await read(feed, MINUTES, int(time.time()) - 300, int(time.time()))


async def test_history_of_an_exchange_that_is_down_is_an_error(exchange, settings):
    settings.SWITCHES = replace(settings.SWITCHES, sim_url="http://127.0.0.1:1")
    async with feeding() as feed:
        with pytest.raises(FeedError):
            await read(feed, SPOT, 0, 100)


def test_rows_that_are_no_candles_are_dropped():
    good = [60_000, 1, 3, 0.5, 2, None]
    bad = [
        [61_000, 1, 3, 0.5, 2, 1],
        [120_000, 1, 0.9, 0.5, 2, 1],
        [180_000, None, 3, 0.5, 2, 1],
        [240_000, float("nan"), 3, 0.5, 2, 1],
        [300_000, 1, 3, 0.5],
    ]
    assert checked([*bad, good, good], MINUTES) == [Candle(60, 1, 3, 0.5, 2, 0)]


# Live


@pytest.mark.parametrize("market", ["spot", "futures"])
async def test_stream_gives_closed_candles_in_order_and_forming_ones(exchange, market):
    series = SeriesId.parse(f"sim:{market}:BTC/USDT:1s")
    async with listening(series) as (_, events):
        await eventually(lambda: len(closed_times(events, series)) >= 3)
        times = closed_times(events, series)
        assert times == list(range(times[0], times[0] + len(times)))
        seen = [e.candle for e in events if isinstance(e, Closed)]
        assert seen == truth(exchange, series, times[0], times[-1])
        assert any(isinstance(event, Forming) for event in events)


async def test_stream_reports_a_lost_connection_and_goes_on(exchange):
    async with listening(SPOT) as (_, events):
        await eventually(lambda: closed_times(events))
        exchange.fault(kind="drop_connections", abort=True)
        await eventually(lambda: any(isinstance(event, Interrupted) for event in events))
        before = len(closed_times(events))
        await eventually(lambda: len(closed_times(events)) > before)


async def test_stream_that_falls_silent_is_opened_again(exchange):
    async with listening(SPOT) as (_, events):
        await eventually(lambda: closed_times(events))
        exchange.fault(kind="silent", duration_s=2.5)
        await eventually(lambda: any(isinstance(event, Interrupted) for event in events))
        before = len(closed_times(events))
        await eventually(lambda: len(closed_times(events)) > before, seconds=10)


async def test_one_silent_series_leaves_the_others_undisturbed(exchange):
    async with listening(SPOT, SPOT_TWO) as (_, events):
        await eventually(lambda: closed_times(events) and closed_times(events, SPOT_TWO))
        exchange.fault(kind="silent", duration_s=60, scope={"symbol": "ETHUSDT"})
        await eventually(lambda: any(isinstance(event, Interrupted) for event in events))
        assert {e.series for e in events if isinstance(e, Interrupted)} == {SPOT_TWO}
        exchange.clear()
        before = len(closed_times(events, SPOT_TWO))
        await eventually(lambda: len(closed_times(events, SPOT_TWO)) > before)
        times = closed_times(events)
        assert times == list(range(times[0], times[0] + len(times)))


async def test_changing_the_followed_set_disturbs_nothing_that_stays(exchange):
    async with listening(SPOT) as (feed, events):
        await eventually(lambda: closed_times(events))
        await feed.follow(frozenset({SPOT, SPOT_TWO}))
        await eventually(lambda: len(closed_times(events, SPOT_TWO)) >= 2)
        await feed.follow(frozenset({SPOT}))
        await eventually(lambda: _subscribers(exchange) == {"spot:btcusdt@kline_1s"})
        times = closed_times(events)
        assert times == list(range(times[0], times[0] + len(times)))
        assert not [event for event in events if isinstance(event, Interrupted)]
        # And back again: what was left can be followed anew.
        gone = len(closed_times(events, SPOT_TWO))
        await feed.follow(frozenset({SPOT, SPOT_TWO}))
        await eventually(lambda: len(closed_times(events, SPOT_TWO)) > gone)


def _subscribers(exchange):
    return set(exchange.exchange.hub.subscribers())


async def test_unknown_series_among_the_followed_harms_no_other(exchange):
    async with listening(SPOT, SeriesId.parse("sim:spot:NO/SUCH:1s")) as (_, events):
        await eventually(lambda: closed_times(events))


async def test_feed_closes_while_the_exchange_plays_dead(exchange):
    async with listening(SPOT) as (feed, events):
        await eventually(lambda: closed_times(events))
        exchange.fault(kind="silent", duration_s=600)
        async with asyncio.timeout(patience(2)):
            await feed.close()


# Names


def test_every_ccxt_exchange_is_known_and_nothing_else():
    assert {"sim", "binance", "kraken", "okx", "bybit"} <= known_exchanges()
    for exchange, market in [("nowhere", "spot"), ("binance", "options")]:
        with pytest.raises(FeedRefused):
            open_feed(exchange, market)


@pytest.mark.parametrize(
    ("text", "symbol"),
    [
        ("binance:spot:BTC/USDT:1m", "BTC/USDT"),
        ("binance:futures:BTC/USDT:1m", "BTC/USDT:USDT"),
        ("binance:futures:BTC/USDC:USDC:1m", "BTC/USDC:USDC"),
    ],
)
def test_futures_symbols_get_their_settle_currency(text, symbol):
    assert symbol_of(SeriesId.parse(text)) == symbol


async def test_halted_market_is_known_once_its_listing_is_read(exchange):
    exchange.fault(kind="halt", scope={"symbol": "ETHUSDT"})
    halted, trading = (SeriesId.parse(f"sim:spot:{each}/USDT:1m") for each in ("ETH", "BTC"))
    async with feeding() as feed:
        assert not feed.is_halted(halted)
        await read(feed, halted, int(time.time()) - 300, int(time.time()))
        assert feed.is_halted(halted) and not feed.is_halted(trading)


# All together


@contextlib.asynccontextmanager
async def following():
    ports = memory_ports()
    token = ports.store.next_fence(SPOT)
    stop = asyncio.Event()
    feed = open_feed("sim", "spot", limits=LIMITS)
    follower = Follower(feed, ports, report=lambda series, report: None, limits=FOLLOW)

    async def wanted():
        return {SPOT: token}

    running = asyncio.create_task(follower.run(wanted, stop))
    try:
        await eventually(lambda: ports.publisher.forming, seconds=10)
        yield ports
    finally:
        stop.set()
        await asyncio.wait_for(running, patience(5))


def _head(ports):
    return ports.store.state(SPOT).head


async def _goes_on(ports, seconds):
    wanted = _head(ports) + seconds
    await eventually(lambda: _head(ports) >= wanted, 15)


FAULTS = {
    "connection dropped": [{"kind": "drop_connections", "abort": True}],
    "finals twice": [{"kind": "duplicate", "times": 3}],
    "finals swapped": [{"kind": "reorder"}],
    "finals missing in the stream": [{"kind": "omit", "next": 3}],
    "stream silent": [{"kind": "silent", "duration_s": 2.5}],
    "rest down": [{"kind": "rest_status", "status": 503, "duration_s": 1.5}],
    "rest down and connection dropped": [
        {"kind": "rest_status", "status": 502, "duration_s": 1.5},
        {"kind": "drop_connections"},
    ],
    "too many requests": [
        {"kind": "rest_status", "status": 429, "count": 1, "retry_after_s": 1},
        {"kind": "drop_connections"},
    ],
}


@pytest.mark.parametrize("faults", FAULTS.values(), ids=FAULTS.keys())
async def test_following_loses_nothing(exchange, faults):
    async with following() as ports:
        for fault in faults:
            exchange.fault(**fault)
        await _goes_on(ports, 5)
        candles = stored(ports, SPOT)
        assert candles == truth(exchange, SPOT, candles[0].candle_time, candles[-1].candle_time)
        times = [candle.candle_time for candle in candles]
        announced = ports.publisher.fresh[SPOT]
        # What is stored is announced a moment later; more of both may have come meanwhile.
        await eventually(lambda: len(announced) >= len(times))
        assert announced[: len(times)] == times
        assert ports.ledger.entries(SPOT) == []


async def test_candles_that_the_exchange_lacks_are_noted_as_quiet(exchange):
    async with following() as ports:
        exchange.fault(kind="omit", next=2, rest=True)
        await _goes_on(ports, 5)
        await eventually(lambda: ports.ledger.entries(SPOT))
        [gap] = ports.ledger.entries(SPOT)
        assert gap.state is GapState.QUIET
        [hole] = ports.store.gaps(SPOT)
        assert (gap.from_time, gap.to_time) == (hole.prev_time + 1, hole.next_time - 1)


async def test_revision_from_the_stream_is_stored(exchange):
    async with following() as ports:
        exchange.fault(kind="revise", last=2, factor=1.5, push=True)
        await eventually(lambda: ports.store.state(SPOT).epoch > 0)
        start = stored(ports, SPOT)[0].candle_time
        await eventually(lambda: stored(ports, SPOT) == truth(exchange, SPOT, start, _head(ports)))
