"""Rows of series without candles: none are made, and old ones can be removed."""

from __future__ import annotations

import pytest
from django.core.management import call_command

from market.domain.series import SeriesId
from market.domain.store import StaleFence
from market.ingest.gap_ledger import PostgresGapLedger
from market.ingest.gap_ranges import GapEntry, GapState
from market.models import GapRecord, Series
from market.pipeline import Pipeline
from market.stores.postgres import PostgresCandleStore
from market.stores.pruning import prune, without_candles
from market.tests.builders import MINUTE, candle, candles

pytestmark = pytest.mark.django_db(transaction=True)

OTHER = SeriesId.parse("binance:spot:ETH/USDT:1m")


@pytest.fixture
def store():
    return PostgresCandleStore()


def names():
    return list(Series.objects.order_by("name").values_list("name", flat=True))


def test_fencing_token_makes_no_row(store):
    assert store.next_fence(MINUTE) < store.next_fence(MINUTE)
    assert names() == []


def test_empty_batch_makes_no_row(store):
    Pipeline(store).ingest(MINUTE, [])
    assert names() == []


def test_failed_first_batch_leaves_no_row(store):
    with pytest.raises(RuntimeError), store.writing(MINUTE) as writer:
        writer.upsert(candles(60))
        raise RuntimeError
    assert names() == []


def test_gap_of_an_unknown_series_makes_no_row(store):
    entry = GapEntry(
        series=MINUTE, from_time=60, to_time=120, reason="test", state=GapState.OPEN, attempts=0
    )
    PostgresGapLedger().record(entry)
    assert names() == []
    assert not GapRecord.objects.exists()


def test_newer_token_takes_a_series_over_with_its_first_candle(store):
    old, new = store.next_fence(MINUTE), store.next_fence(MINUTE)
    run = Pipeline(store).ingest
    # Nothing is stored yet, so there is nothing that the older job could spoil.
    run(MINUTE, candles(60), fence=old)
    run(MINUTE, candles(120), fence=new)
    with pytest.raises(StaleFence):
        run(MINUTE, candles(180), fence=old)
    run(MINUTE, candles(180), fence=new)


def test_token_drawn_after_the_first_candle_is_greater_than_one_drawn_before(store):
    before = store.next_fence(MINUTE)
    Pipeline(store).ingest(MINUTE, candles(60))
    after = store.next_fence(MINUTE)
    assert after > before
    with pytest.raises(StaleFence):
        Pipeline(store).ingest(MINUTE, candles(120), fence=before)


def test_only_series_that_never_had_a_candle_are_removed(store, capsys):
    Series.objects.create(name=str(OTHER), fence=3)
    Pipeline(store).ingest(MINUTE, [candle(60)])
    call_command("prune_series", "--dry-run")
    assert names() == sorted([str(MINUTE), str(OTHER)])
    call_command("prune_series")
    assert names() == [str(MINUTE)]
    assert capsys.readouterr().out.splitlines() == [
        str(OTHER),
        "1 series would be removed",
        str(OTHER),
        "1 series removed",
    ]


def test_series_that_gets_its_first_candle_meanwhile_is_kept(store):
    Series.objects.create(name=str(OTHER))
    chosen = list(without_candles().values_list("name", flat=True))
    Pipeline(store).ingest(OTHER, [candle(60)])
    assert prune(chosen) == 0
    assert names() == [str(OTHER)]
