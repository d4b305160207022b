"""The window of a request, read from requests as ccxt's classes make them."""

from __future__ import annotations

import json

import pytest

from market.domain.timeframe import Timeframe
from market.exchanges.asked_window import Trace, Window, asked_window

MINUTE = Timeframe.parse("1m")
# 2023-11-14 22:13:00.
SINCE = 1_699_999_980


def window(query="", body=None, path="klines", limit=1_000):
    """First and last candle of a request, counted from `since` on."""
    trace = Trace(url=f"https://example.com/{path}?{query}", body=body)
    found = asked_window(trace, SINCE, limit, MINUTE)
    return tuple(None if time is None else (time - SINCE) // 60 for time in found)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        # A start and a count, in every unit and form of times.
        ("interval=1m&limit=1000&symbol=BTCUSDT&startTime=1699999980000", (0, 999)),
        ("limit=200&start=1699999980", (0, 199)),
        ("size=1001&symbol=btc_usdt&time=1699999980&type=minute1", (0, 999)),
        ("period=M1&from=2023-11-14T22%3A13%3A00.000Z&limit=1000", (0, 999)),
        ("limit=1000&startTime=1699999979999&timestamp=1795968141064", (0, 999)),
        # An end: without its candle, which some exchanges leave out.
        ("startTime=1699999980000&endTime=1700029980000&limit=1000", (0, 499)),
        ("FromDate=2023-11-14%2022%3A13%3A00&ToDate=2023-11-15%2014%3A53%3A00", (0, 999)),
        ("before=1699999979999&after=1700017980000&limit=300", (0, 299)),
        (
            "_pageSize=100&createdAtDatetime%5Bgte%5D=2023-11-14T22%3A13%3A00.000Z"
            "&createdAtDatetime%5Blte%5D=2023-11-14T23%3A53%3A00.000Z",
            (0, 99),
        ),
        # An end that is the present: not more than was meant.
        ("from=1699999980&to=1795968189", (0, 999)),
        # Only the newest part of what was meant.
        ("startTime=1700047980000&endTime=1700059980000&limit=200", (800, 999)),
        # Counted back from an end.
        ("market=BTCUSDT&count=200&to=2023-11-15T14%3A53%3A00.000Z", (800, 999)),
        # The start one candle earlier, because it is exclusive.
        ("pair=XBTUSDT&interval=1&since=1699999920", (0, 998)),
        # Nothing but a count; ccxt's own `until` is not the exchange's.
        ("market=BTC-KRW&count=200", (None, None)),
        ("market=BTC-KRW&count=200&until=1700036000000", (None, None)),
        ("", (None, None)),
        # One that it is: beside `since`.
        ("interval=1&since=1699999980000&until=1700005980000", (0, 99)),
    ],
)
def test_window_is_what_the_query_asks_for(query, expected):
    assert window(query) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"limit": 1000, "start_time": "1699999980000000000"}, (0, 999)),
        ({"type": "x", "req": {"startTime": 1699999980000, "endTime": 1700005980000}}, (0, 99)),
        ({"candlesticks": {"product_id": 1, "granularity": 60, "limit": 500}}, (None, None)),
    ],
)
def test_window_is_what_the_body_asks_for(body, expected):
    assert window(body=json.dumps(body)) == window(body=body) == expected


def test_window_of_a_day_ends_with_it():
    assert window(path="candlestick/1min/20231114") == (0, 106)
    assert window(path="candlestick/4hour/2023") == (0, 999)
    # The next day begins later than `since`.
    assert window(path="candlestick/1min/20231115") == (107, 999)


def test_times_before_2001_can_not_be_told_from_counts():
    trace = Trace(url="https://example.com/?startTime=60000&limit=10")
    assert asked_window(trace, 60, 10, MINUTE) == Window(60, 600)
