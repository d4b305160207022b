"""The lamp of the ledgers: every row of its table."""

from __future__ import annotations

import pytest

from factors.health import Heads, health
from market.domain.series import SeriesId

FIVE = SeriesId.parse("binance:futures:BTC/USDT:5m")

ROWS = [
    (Heads(None, None, None), "gray", "no_store_head"),
    (Heads(None, 300, 300), "gray", "no_store_head"),
    (Heads(900, None, None), "red", "missing_factor_overlay_head"),
    (Heads(900, None, 900), "red", "missing_factor_head"),
    (Heads(900, 900, None), "red", "missing_overlay_head"),
    (Heads(900, 900, 900), "green", "up_to_date"),
    (Heads(900, 1200, 900), "green", "up_to_date"),
    (Heads(900, 600, 900), "yellow", "lagging_one_candle"),
    (Heads(900, 899, 900), "yellow", "lagging_one_candle"),
    (Heads(900, 900, 300), "red", "lagging_many_candles"),
]


@pytest.mark.parametrize(("heads", "status", "reason"), ROWS)
def test_status_follows_the_heads(heads, status, reason):
    answer = health(FIVE, heads)
    assert (answer["status"], answer["status_reason"]) == (status, reason)


def test_delays_are_counted_for_each_ledger_that_has_a_head():
    answer = health(FIVE, Heads(1735689900, 1735689600, None))
    assert (answer["factor_delay_seconds"], answer["factor_delay_candles"]) == (300, 1)
    assert (answer["overlay_delay_seconds"], answer["overlay_delay_candles"]) == (None, None)
    assert (answer["max_delay_seconds"], answer["max_delay_candles"]) == (300, 1)


def test_the_longest_delay_counts():
    answer = health(FIVE, Heads(1800, 1500, 600))
    assert (answer["max_delay_seconds"], answer["max_delay_candles"]) == (1200, 4)
    assert list(answer) == [
        "series_id",
        "timeframe_seconds",
        "store_head_time",
        "factor_head_time",
        "overlay_head_time",
        "factor_delay_seconds",
        "factor_delay_candles",
        "overlay_delay_seconds",
        "overlay_delay_candles",
        "max_delay_seconds",
        "max_delay_candles",
        "status",
        "status_reason",
    ]
