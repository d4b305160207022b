"""`manage.py derived`: what is held as derived, and how it is released."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.core.management.base import CommandError

from market.ingest.derived_standing import standings
from market.ingest.tests.test_derivation import FIVE, Chart, minute
from market.pipeline import Pipeline, SeriesDerived
from market.stores.derived_postgres import PostgresDerivedBook


@pytest.fixture
def chart(empty_store):
    made = Chart(empty_store, PostgresDerivedBook())
    made.post(*map(minute, range(5)))
    return made


def test_series_that_are_still_derived_are_not_released(chart, run, settings):
    settings.SWITCHES = replace(
        settings.SWITCHES, enable_derived_timeframes=True, derived_timeframes="5m"
    )
    lines = run("derived", "--release").splitlines()
    assert f"{FIVE}: made of {chart.base}" in lines
    assert "sim:spot:BTC/USDT:2m: released" in lines
    assert chart.derivation.book.held() == [FIVE]


def test_switched_off_series_are_listed_then_released(chart, run):
    held = len(chart.derivation.book.held())
    assert f"{FIVE}: not derived by these settings: --release" in run("derived")
    assert standings([FIVE])[FIVE].state == "not_derived"
    with pytest.raises(SeriesDerived):
        Pipeline(chart.store).ingest(FIVE, [minute(5)])
    assert run("derived", str(FIVE), "--release").splitlines() == [
        f"{FIVE}: released",
        "1 of 1 derived series released",
    ]
    assert standings([FIVE]) == {}
    assert Pipeline(chart.store).ingest(FIVE, [minute(5)]).fresh
    left = held - 1
    assert run("derived", "--release").endswith(f"{left} of {left} derived series released\n")


def test_series_that_is_not_held_is_an_error(chart, run):
    with pytest.raises(CommandError, match="not_derived: sim:spot:BTC/USDT:1m"):
        run("derived", str(chart.base))
