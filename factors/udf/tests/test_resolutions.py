"""Resolutions are timeframes, and what a chart can make of those that are stored."""

from __future__ import annotations

import pytest

from factors.udf.resolutions import OFFERED, Multipliers, ResolutionError, timeframe_of
from market.domain.timeframe import Timeframe


@pytest.mark.parametrize(
    ("resolution", "timeframe"),
    [("1S", "1s"), ("S", "1s"), ("1", "1m"), ("60", "1h"), ("90", "90m"), ("240", "4h")]
    + [("D", "1d"), ("1D", "1d"), ("3D", "3d"), ("W", "1w"), ("1W", "1w"), ("1440", "1d")]
    + [("M", "1M"), ("1M", "1M"), ("12M", "12M")],
)
def test_resolution_is_a_canonical_timeframe(resolution, timeframe):
    assert timeframe_of(resolution) == Timeframe.parse(timeframe)


@pytest.mark.parametrize("text", ["", "0", "5M", "1T", "1m", "-5", "5 ", "9999999"])
def test_other_texts_are_refused(text):
    with pytest.raises(ResolutionError):
        timeframe_of(text)


def shown(*timeframes):
    return Multipliers.of({Timeframe.parse(each) for each in timeframes}).shown()


def test_chart_makes_longer_resolutions_of_minutes():
    assert shown("1m") == [each for each in OFFERED if not each.endswith("S")]


def test_minutes_are_not_made_of_seconds():
    assert shown("5s") == ["5S", "10S", "15S", "30S"]


def test_days_are_made_of_single_minutes_only():
    assert shown("5m", "1h") == [
        *("5", "10", "15", "30", "45", "60", "90", "120", "180", "240", "360", "480", "720")
    ]


def test_weeks_and_months_are_made_of_days():
    assert shown("1d") == ["1D", "2D", "3D", "1W", "1M"]
    assert shown("1w") == ["1W"]
    assert shown("1w", "1M") == ["1W", "1M"]
    assert shown("1M") == ["1M"]


def test_days_on_another_grid_are_not_offered():
    assert shown("1d~16h", "1d~America/New_York", "1M~Asia/Tokyo") == []
