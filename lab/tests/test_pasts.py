from __future__ import annotations

from itertools import islice

import pytest

from lab.benchmarks.samples import walk
from lab.pasts import Past
from market.domain.series import SeriesId

SERIES = SeriesId.parse("binance:spot:PAST/USDT:1m")
NAMES = ("time", "open", "high", "low", "close", "volume")
WINDOW = 50


@pytest.fixture(scope="module")
def past():
    return Past(SERIES, {each.candle_time: each for each in islice(walk(), 300)})


def bars(past, first, last):
    """Bars as a replay shows them, with their states."""
    return [
        (dict(zip(NAMES, each, strict=True)), past.state(each.candle_time, window=WINDOW))
        for each in past.between(first, last)
    ]


def test_bars_of_a_past_fit_it(past):
    span = past.times[200], past.times[230]
    shown = bars(past, *span)
    assert len(shown) == 31 and all(drawn for _, (drawn, _, _) in shown)
    assert past.fits(shown, span, WINDOW)


def test_missing_repeated_and_other_bars_do_not_fit(past):
    span = past.times[200], past.times[205]
    shown = bars(past, *span)
    (first, state), *rest = shown
    for wrong in (
        rest,
        shown[:-1],
        [*shown, shown[-1]],
        [(first | {"close": first["close"] + 0.01}, state), *rest],
        [(first, past.state(past.times[260], window=WINDOW)), *rest],
    ):
        assert not past.fits(wrong, span, WINDOW)


def test_revised_candle_gives_another_past(past):
    time, place = past.times[150], 200
    revised = past.candles[time]._replace(high=1e6, close=9e5)
    other = Past(SERIES, past.candles | {time: revised})
    span = past.times[place], past.times[place + 20]
    assert not other.fits(bars(past, *span), span, WINDOW)


def test_last_candle_up_to_a_time(past):
    assert past.floor(past.times[3] + 59) == past.times[3]
    assert past.floor(past.times[0] - 1) == past.times[0] - 1
