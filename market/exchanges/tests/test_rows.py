"""Whatever a row of an exchange is, it is a candle or a CandleError, and stops no other."""

from __future__ import annotations

import math

import pytest

from market.domain.candle import CandleError
from market.domain.series import SeriesId
from market.exchanges.refused_rows import refused_rows
from market.exchanges.rows import candle_of, checked
from market.tests.builders import candle

SERIES = SeriesId.parse("sim:spot:BTC/USDT:1m")
ROW = [60_000, 1.0, 2.0, 0.5, 1.5, 10.0]


@pytest.mark.parametrize(
    "row",
    [
        [math.inf, *ROW[1:]],
        [math.nan, *ROW[1:]],
        [10**400, *ROW[1:]],
        [60_000, 10**400, *ROW[2:]],
        [60_000, "1e999", *ROW[2:]],
        [60_000, "nonsense", *ROW[2:]],
        [60_000, None, *ROW[2:]],
        [60_001, *ROW[1:]],
        [61_000, *ROW[1:]],
        ROW[:5],
        [],
        None,
        7,
        {"t": 60_000},
        "a row",
    ],
)
def test_malformed_row_is_left_out_and_the_others_stay(row):
    with pytest.raises(CandleError):
        candle_of(row, SERIES.timeframe)
    assert checked([row, ROW], SERIES) == [candle(60)]


def test_row_of_zeros_is_left_out():
    with pytest.raises(CandleError, match="zero"):
        candle_of([60_000, 0, "0", 0.0, "0.000", 0], SERIES.timeframe)


def test_prices_that_rounding_put_outside_are_widened():
    low = math.nextafter(0.3, 1)
    found = candle_of([60_000, 0.3, 0.5, low, 0.4, 1.0], SERIES.timeframe)
    assert (found.low, found.open) == (0.3, 0.3)


def test_rows_that_are_left_out_are_counted_and_remembered():
    assert checked([ROW, [61_000, *ROW[1:]], [0, 0, 0, 0, 0, 0]], SERIES) == [candle(60)]
    assert refused_rows().of(SERIES).rows == 2
    assert "off the grid" in refused_rows().of(SERIES).reason
