"""The roll-up against its definition, written down naively."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.domain.candle import Candle
from market.domain.rollup import Bucket, DerivedTimeframes, is_derivable, merged, roll_up
from market.domain.series import SeriesId
from market.domain.timeframe import Timeframe

MINUTE, FIVE, WEEK = (Timeframe.parse(text) for text in ("1m", "5m", "1w"))
START = 1_700_000_100

prices = st.floats(1, 1e6, allow_nan=False)
rows = st.lists(
    st.tuples(st.integers(0, 40), prices, prices, st.floats(0, 1e9)),
    unique_by=lambda row: row[0],
    max_size=40,
).map(
    lambda drawn: [
        Candle(START + n * 60, o, max(o, c), min(o, c), c, v) for n, o, c, v in sorted(drawn)
    ]
)


def naive(candles, base, to):
    buckets = {}
    for each in candles:
        buckets.setdefault(to.open_of(each.candle_time), []).append(each)
    for open_time, inside in sorted(buckets.items()):
        volume = inside[0].volume
        for each in inside[1:]:
            volume += each.volume
        yield Bucket(
            Candle(
                open_time,
                inside[0].open,
                max(each.high for each in inside),
                min(each.low for each in inside),
                inside[-1].close,
                volume,
            ),
            len(inside),
            to.seconds // base.seconds,
        )


@given(rows, st.sampled_from(["2m", "5m", "7m", "15m", "1h", "1w", "1h~7m"]))
def test_roll_up_is_its_definition(candles, text):
    to = Timeframe.parse(text)
    assert list(roll_up(candles, MINUTE, to)) == list(naive(candles, MINUTE, to))


@given(rows)
def test_merging_one_by_one_gives_the_same(candles):
    for bucket in roll_up(candles, MINUTE, WEEK):
        so_far = candles[0]._replace(candle_time=WEEK.open_of(candles[0].candle_time))
        for each in candles[1:]:
            so_far = merged(so_far, each)
        assert so_far == bucket.candle


def test_candles_off_the_grid_are_ignored():
    off_grid = Candle(START + 20, 9, 9, 9, 9, 9)
    assert list(roll_up([off_grid], MINUTE, FIVE)) == []


@pytest.mark.parametrize(
    ("base", "to", "expected"),
    [
        ("1m", "5m", True),
        ("1m", "7m", True),
        ("1s", "1w", True),
        ("1m", "1m", False),
        ("5m", "1m", False),
        ("2m", "5m", False),
        # Neither all weeks begin with a span of two days, nor all two days with a span of four.
        ("2d", "4d", True),
        ("7d", "1w", False),
        ("2w", "4w", True),
        ("1m", "1d~16h", True),
        ("1h", "4h~90m", False),
    ],
)
def test_derivable_is_a_whole_multiple_on_one_grid(base, to, expected):
    assert is_derivable(Timeframe.parse(base), Timeframe.parse(to)) is expected


def test_the_list_is_read_as_the_contract_has_it():
    found = DerivedTimeframes.parse("1m", " 5m,15m , 5m,1m,90s,nonsense,,1w")
    assert [str(each) for each in found.derived] == ["5m", "15m", "1w"]
    series = SeriesId.parse("binance:futures:BTC/USDT:USDT:5m")
    assert str(found.base_of(series)) == "binance:futures:BTC/USDT:USDT:1m"
    assert found.base_of(series.with_timeframe(MINUTE)) is None
    assert [str(each.timeframe) for each in found.derived_of(found.base_of(series))] == [
        "5m",
        "15m",
        "1w",
    ]
