"""A derived series takes made candles only, whatever the settings of the process that writes."""

from __future__ import annotations

import pytest

from market.domain.change import Change
from market.domain.series import SeriesId
from market.ingest.tests.test_derivation import BASE, FIVE, Chart, all_of, minute
from market.pipeline import Batch, Pipeline, SeriesDerived
from market.stores.derived_memory import MemoryDerivedBook
from market.stores.derived_postgres import PostgresDerivedBook
from market.stores.memory import MemoryCandleStore
from market.stores.postgres import PostgresCandleStore

OTHER = SeriesId.parse("sim:spot:ETH/USDT:5m")


@pytest.fixture(params=["memory", "postgres"])
def chart(request, transactional_db):
    if request.param == "memory":
        return Chart(MemoryCandleStore(), MemoryDerivedBook())
    return Chart(PostgresCandleStore(), PostgresDerivedBook())


@pytest.fixture
def elsewhere(chart):
    """The pipeline of a process that derives nothing."""
    return Pipeline(chart.store)


def refused(pipeline, series=FIVE, number=0):
    with pytest.raises(SeriesDerived, match=f"derived_series: {series}") as error:
        pipeline.ingest(series, [minute(number, price=7.0)])
    return error.value


def test_other_candles_of_a_derived_series_are_refused(chart, elsewhere):
    chart.post(*map(minute, range(10)))
    made = all_of(chart.store, FIVE)
    assert len(made) == 2
    for number in (0, 5, 10, -5):
        refused(elsewhere, number=number)
    assert all_of(chart.store, FIVE) == made
    chart.post(*map(minute, range(10, 15)))
    assert len(all_of(chart.store, FIVE)) == 3
    assert elsewhere.ingest(BASE, [minute(15)]).fresh


def test_derived_series_of_a_group_is_refused_alone(chart, elsewhere):
    chart.post(*map(minute, range(5)))
    batches = [Batch(each, [minute(10)]) for each in (OTHER, FIVE, BASE)]
    outcomes = elsewhere.ingest_group(batches)
    assert [type(each) for each in outcomes] == [Change, SeriesDerived, Change]
    assert chart.store.state(FIVE).head == minute(0).candle_time


@pytest.mark.parametrize("is_grouped", [False, True])
def test_derived_series_without_a_candle_is_known(chart, elsewhere, is_grouped):
    # The bucket is over, and not whole.
    chart.post(*map(minute, (0, 2, 3, 4, 5)))
    assert chart.derivation.book.held() and chart.store.state(FIVE).head is None
    if is_grouped:
        batches = [Batch(each, [minute(0)]) for each in (OTHER, FIVE)]
        assert isinstance(elsewhere.ingest_group(batches)[1], SeriesDerived)
    else:
        refused(elsewhere)
    assert chart.store.state(FIVE).head is None
    chart.post(minute(1))
    assert len(all_of(chart.store, FIVE)) == 1


def test_released_series_takes_any_candle_until_it_is_derived_again(chart, elsewhere):
    chart.post(*map(minute, range(5)))
    chart.store.release_derived(FIVE)
    assert elsewhere.ingest(FIVE, [minute(0, price=7.0), minute(5, price=7.0)]).replaced == 1
    chart.post(*map(minute, range(5, 10)))
    refused(elsewhere)
    assert all_of(chart.store, FIVE) == chart.expected(FIVE)
