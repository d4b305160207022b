"""Checks of candles, gaps, and the rule for a candle that is still open."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.domain.candle import (
    Candle,
    CandleError,
    check_candle,
    in_time_order,
    is_closed,
    sourced,
)
from market.domain.freshness import clamp_cursor, is_withheld, late_by
from market.domain.gaps import Gap, find_gaps
from market.domain.timeframe import MAX_TIME, Timeframe
from market.tests.builders import candle, candles

MINUTE = Timeframe.parse("1m")
GOOD = Candle(60, 1.0, 2.0, 0.5, 1.5, 10.0)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"candle_time": -60}, "candle_time"),
        ({"candle_time": MAX_TIME + 1}, "candle_time"),
        ({"candle_time": 61}, "candle_time"),
        ({"open": math.nan}, "open"),
        ({"high": math.inf}, "high"),
        ({"low": 1.2}, "low"),
        ({"high": 1.2}, "high"),
        ({"close": -math.inf}, "close"),
        ({"volume": -1.0}, "volume"),
        ({"volume": math.nan}, "volume"),
    ],
)
def test_candle_refuses(change, field):
    with pytest.raises(CandleError) as raised:
        check_candle(GOOD._replace(**change), MINUTE)
    assert raised.value.field == field


def test_candle_off_the_grid_is_possible_without_a_timeframe():
    check_candle(GOOD._replace(candle_time=61))
    check_candle(GOOD, MINUTE)


@pytest.mark.parametrize(
    ("given", "widened"),
    [
        # What 0.1 + 0.2 is to 0.3.
        (Candle(60, 0.3, 0.5, 0.30000000000000004, 0.4, 1.0), {"low": 0.3}),
        (Candle(60, 0.2, 0.3, 0.1, 0.30000000000000004, 1.0), {"high": 0.30000000000000004}),
        (Candle(60, -0.3, -0.1, -0.29999999999999993, -0.2, 1.0), {"low": -0.3}),
        (GOOD, {}),
    ],
)
def test_prices_of_a_source_that_rounding_put_outside_are_widened(given, widened):
    assert sourced(given, MINUTE) == given._replace(**widened)


@pytest.mark.parametrize(
    "wrong",
    [
        GOOD._replace(open=0.0, high=0.0, low=0.0, close=-0.0),
        GOOD._replace(open=0.0, high=-0.0, low=0.0, close=0.0, volume=0.0),
        GOOD._replace(low=1.000001),
        GOOD._replace(candle_time=61),
        GOOD._replace(low=math.nan),
    ],
)
def test_candle_of_a_source_is_refused_when_it_is_zeros_or_impossible(wrong):
    with pytest.raises(CandleError):
        sourced(wrong, MINUTE)


def test_order_keeps_the_last_given_candle_of_each_time():
    later = candle(60, close=1.9)
    assert in_time_order([*candles(120, 60), later]) == [later, candle(120)]


def test_gaps_are_found_between_neighbours():
    assert list(find_gaps([0, 60, 180, 200, 500], MINUTE)) == [Gap(60, 180), Gap(200, 500)]


def test_gap_counts_missing_candles():
    assert [Gap(0, 120).missing_candles(MINUTE), Gap(333, 400).missing_candles(MINUTE)] == [1, 0]


@given(st.sets(st.integers(0, 200)).map(sorted))
def test_gaps_name_exactly_the_missing_times(minutes):
    times = [minute * 60 for minute in minutes]
    named = {time for gap in find_gaps(times, MINUTE) for time in range(gap[0] + 60, gap[1], 60)}
    assert named == set(range(times[0], times[-1], 60)) - set(times) if times else not named


@pytest.mark.parametrize(("now", "closed"), [(119.9, False), (120, True)])
def test_candle_is_closed_when_its_time_is_over(now, closed):
    assert is_closed(60, MINUTE, now) is closed


@pytest.mark.parametrize(
    ("time", "withheld"), [(540, False), (600, True), (660, True), (720, False)]
)
def test_only_a_plausible_open_candle_is_withheld(time, withheld):
    assert is_withheld(time, MINUTE, now=630) is withheld


@pytest.mark.parametrize(
    ("timeframe", "age", "late"),
    [
        # The next candle closed two lengths after the head opened.
        ("1m", 300, 0),
        ("1m", 301, 181),
        ("1h", 2 * 3_600 + 900, 0),
        ("1h", 2 * 3_600 + 901, 901),
        ("1d", 2 * 86_400 + 900, 0),
        ("1d", 2 * 86_400 + 3_600, 3_600),
    ],
)
def test_series_is_late_after_two_candles_and_a_while(timeframe, age, late):
    assert late_by(0, Timeframe.parse(timeframe), age) == late


@pytest.mark.parametrize(("cursor", "clamped"), [(480, 480), (600, 540), (10**9, 10**9)])
def test_cursor_is_lowered_to_the_newest_closed_candle(cursor, clamped):
    assert clamp_cursor(cursor, MINUTE, now=630) == clamped
