from __future__ import annotations

import pytest

from market.domain.retention import RetentionError, oldest_kept, parse_retention
from market.domain.timeframe import Timeframe

MINUTE = Timeframe.parse("1m")

WRONG = [
    ("1m", "not TIMEFRAME=LENGTH"),
    ("1x=7d", "unsupported timeframe unit"),
    ("=7d", "empty timeframe"),
    ("0m=7d", "invalid timeframe"),
    ("1m=", "the length is a number"),
    ("1m=7", "the length is a number"),
    ("1m=-7d", "the length is a number"),
    ("1m=7M", "the length is a number"),
    ("1m=7d,01m=8d", "1m is there twice"),
    ("1m=1d", "less than 2,000 candles of 1m"),
    ("1d=2y", "less than 2,000 candles of 1d"),
    ("1m=0d", "less than 2,000 candles of 1m"),
]


@pytest.mark.parametrize(("text", "words"), WRONG)
def test_retention_that_must_not_be_guessed_is_refused(text, words):
    with pytest.raises(RetentionError, match=words):
        parse_retention(text)


def test_retention_is_read():
    found = parse_retention(" 1s=7d, 1m = 2y ,,1d=6y")
    assert {each.text: seconds for each, seconds in found.items()} == {
        "1s": 7 * 86_400,
        "1m": 2 * 365 * 86_400,
        "1d": 6 * 365 * 86_400,
    }
    assert parse_retention("") == {}


def test_least_length_is_that_of_the_installation():
    with pytest.raises(RetentionError, match="5,000 candles"):
        parse_retention("1m=3d", least_candles=5_000)


def test_what_is_kept_is_counted_from_the_newest_candle_on_the_grid():
    bounds = {MINUTE: 150}
    assert oldest_kept(bounds, MINUTE, 6_000) == 6_000 - 120
    assert oldest_kept(bounds, MINUTE, 60) == 0
    assert oldest_kept(bounds, Timeframe.parse("5m"), 6_000) == 0
