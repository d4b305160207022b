"""Streams without a final flag, and polling: ccxt's general way, against a real exchange."""

from __future__ import annotations

import ccxt
import pytest

from lab.waiting import eventually
from market.domain.candle import Candle
from market.domain.feed import Closed, FeedError, Forming, Interrupted
from market.domain.series import SeriesId
from market.exchanges.ccxt_client import feed_errors, open_exchange
from market.exchanges.plain_stream import NextOpens, PlainStream
from market.exchanges.streams import EventQueue, StreamLimits
from market.exchanges.tests.listening import closed_times, events_of, is_gapless

SERIES = SeriesId.parse("sim:spot:BTC/USDT:1s")
OTHER = SeriesId.parse("sim:spot:ETH/USDT:1s")
LIMITS = StreamLimits(fast_patience=1.5, first_retry=0.05, longest_retry=0.2)


def listening(*series, streams=True):
    client = open_exchange("sim", "spot")
    client.has["watchOHLCV"] = streams
    return events_of(PlainStream, client, series, limits=LIMITS)


@pytest.mark.parametrize("streams", [True, False], ids=["streamed", "polled"])
async def test_every_closed_candle_is_sent_once_and_in_order(exchange, streams):
    async with listening(SERIES, OTHER, streams=streams) as (_, events):
        for series in (SERIES, OTHER):
            await eventually(lambda one=series: len(closed_times(events, one)) >= 4, seconds=15)
            assert is_gapless(closed_times(events, series))
        assert any(isinstance(event, Forming) for event in events)


async def test_stream_reports_a_lost_connection_and_goes_on(exchange):
    async with listening(SERIES, OTHER) as (_, events):
        await eventually(lambda: closed_times(events, SERIES))
        exchange.fault(kind="drop_connections", abort=True)
        seen = {SERIES, OTHER}
        await eventually(lambda: seen <= {e.series for e in events if isinstance(e, Interrupted)})
        before = len(closed_times(events, SERIES))
        await eventually(lambda: len(closed_times(events, SERIES)) > before, seconds=15)


async def test_stream_that_falls_silent_is_opened_again(exchange):
    async with listening(SERIES, OTHER) as (_, events):
        await eventually(lambda: closed_times(events, SERIES))
        exchange.fault(kind="silent", duration_s=2.5)
        await eventually(lambda: any(isinstance(event, Interrupted) for event in events))
        counts = [len(closed_times(events, series)) for series in (SERIES, OTHER)]
        await eventually(
            lambda: all(
                len(closed_times(events, series)) > count
                for series, count in zip((SERIES, OTHER), counts, strict=True)
            ),
            seconds=15,
        )


async def test_unfollowed_series_ends_and_others_go_on(exchange):
    async with listening(SERIES, OTHER) as (stream, events):
        await eventually(lambda: closed_times(events, SERIES) and closed_times(events, OTHER))
        stream.follow(frozenset({SERIES}), frozenset())
        subscribers = exchange.exchange.hub.subscribers
        await eventually(lambda: set(subscribers()) == {"spot:btcusdt@kline_1s"})
        before = len(closed_times(events, SERIES))
        await eventually(lambda: len(closed_times(events, SERIES)) >= before + 2)
        assert is_gapless(closed_times(events, SERIES))


async def test_polling_reports_failures_of_the_exchange_and_goes_on(exchange):
    async with listening(SERIES, streams=False) as (_, events):
        await eventually(lambda: closed_times(events, SERIES))
        exchange.fault(kind="rest_status", status=503, count=2)
        await eventually(lambda: any(isinstance(event, Interrupted) for event in events))
        before = len(closed_times(events, SERIES))
        await eventually(lambda: len(closed_times(events, SERIES)) > before, seconds=15)


def candle(time, price=1.0):
    return Candle(time, price, price, price, price, 0)


def seen(*batches):
    opens = NextOpens(SERIES)
    return [
        (type(event).__name__, event.candle.candle_time, event.candle.close)
        for batch in batches
        for event in opens.take(batch)
    ]


def test_candle_is_closed_with_its_last_state_when_the_next_opens():
    assert seen([candle(1)], [candle(2)], [candle(2, 9)], [candle(3)])[-2:] == [
        ("Closed", 2, 9),
        ("Forming", 3, 1),
    ]


def test_candle_that_was_open_when_we_came_is_left_to_rest():
    assert seen([candle(1)], [candle(2)]) == [("Forming", 1, 1), ("Forming", 2, 1)]


def test_afterthought_about_an_older_candle_is_a_closed_one():
    assert seen([candle(1)], [candle(2)], [candle(1, 5)])[-1] == ("Closed", 1, 5)


async def test_full_queue_ends_with_an_interruption():
    queue = EventQueue(size=4)
    for time in range(6):
        queue.put(Closed(SERIES, candle(time)))
    events = queue.events()
    seen = [await anext(events) for _ in range(5)]
    assert [type(event) for event in seen] == [Closed] * 4 + [Interrupted]
    queue.close()
    assert [event async for event in events] == []


async def test_queue_leaves_room_for_closed_candles():
    queue = EventQueue(size=4)
    for time in range(10):
        queue.put(Forming(SERIES, candle(time)))
    queue.put(Closed(SERIES, candle(99)))
    queue.close()
    assert [event.candle.candle_time async for event in queue.events()] == [0, 1, 2, 99]


@pytest.mark.parametrize("error", [ccxt.NetworkError("x"), OSError("x"), KeyError("x")])
def test_whatever_ccxt_raises_becomes_a_feed_error(error):
    with pytest.raises(FeedError), feed_errors("test"):
        raise error


def test_patience_depends_on_the_timeframe():
    limits = StreamLimits()
    patience = [
        limits.patience_of(SeriesId.parse(f"sim:spot:BTC/USDT:{text}").timeframe)
        for text in ("1s", "1m", "1h")
    ]
    assert patience == [10, 180, 10_800]
