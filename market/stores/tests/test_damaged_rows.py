"""A row with NaN or Infinity makes the reads that contain it fail, and no others."""

from __future__ import annotations

import math

import pytest

from market.domain.series import SeriesId
from market.domain.store import SeriesDamaged
from market.stores.postgres import PostgresCandleStore
from market.stores.tests.planting import plant, unprotected
from market.stores.tests.test_store_contract import put
from market.tests.builders import MINUTE, candle, candles

pytestmark = pytest.mark.django_db(transaction=True)

OTHER = SeriesId.parse("binance:spot:ETH/USDT:1m")


@pytest.fixture(params=["open", "volume"])
def store(request):
    """A store with a series that is damaged at 180, and a sound one."""
    store = PostgresCandleStore()
    for series in (MINUTE, OTHER):
        put(store, candles(60, 120, 180, 240), series)
    with unprotected():
        plant(MINUTE, candle(180)._replace(**{request.param: math.nan}))
        yield store


def test_reads_with_a_damaged_row_are_refused(store):
    for read in (
        lambda: store.newest(MINUTE, 2),
        lambda: store.newest(MINUTE, 1, up_to=200),
        lambda: store.read_after(MINUTE, 120, 1),
        lambda: store.read_range(MINUTE, 0, 240, limit=10),
    ):
        with pytest.raises(SeriesDamaged, match="at 180") as damaged:
            read()
        assert (damaged.value.series, damaged.value.candle_time) == (MINUTE, 180)


def test_other_reads_and_other_series_are_served(store):
    assert store.newest(MINUTE, 1) == candles(240)
    assert store.read_after(MINUTE, 0, 2) == candles(60, 120)
    assert store.newest(OTHER, 10) == candles(60, 120, 180, 240)


def test_damaged_series_is_left_out_of_a_read_of_several(store):
    spans = {MINUTE: (60, 180), OTHER: (120, 180)}
    assert store.read_ranges(spans, limit=9) == {OTHER: candles(120, 180)}
    assert store.read_ranges({MINUTE: (60, 120)}, limit=9) == {MINUTE: candles(60, 120)}


def test_times_are_read_past_a_damaged_row(store):
    assert (store.first(MINUTE), store.floor(MINUTE, 200), store.count(MINUTE)) == (60, 180, 4)
    assert store.gaps(MINUTE) == []
    assert store.states([MINUTE, OTHER]) == {
        series: store.state(series) for series in (MINUTE, OTHER)
    }


def test_damaged_row_is_mended_by_its_candle(store):
    assert put(store, candles(180)).revised == [180]
    assert store.newest(MINUTE, 10) == candles(60, 120, 180, 240)


def test_numbers_whose_sum_is_beyond_a_double_are_sound(store):
    huge = candle(300)._replace(high=1.7e308, volume=1.7e308)
    put(store, [huge], OTHER)
    assert store.newest(OTHER, 1) == [huge]
    assert store.read_ranges({OTHER: (300, 300)}, limit=1) == {OTHER: [huge]}
