"""A series with parameters of its own: drawings, verification and replay follow its factors."""

from __future__ import annotations

import pytest

from factors import runtime as factors
from factors.domain.tests.recordings import flat
from factors.tests.ledgers import new_series
from factors.tests.test_series_parameters import SHORT, engine_with, give
from market.api.tests.conftest import fresh_process
from market.runtime import candle_store, pipeline
from overlays import runtime
from overlays.management.commands.verify import verifier
from overlays.replay.jobs import reader
from overlays.replay.tests.states import framed, walked
from overlays.retention import NotNow

__all__ = ["fresh_process"]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("fresh_process")]

WAVES = flat(*[100.0 + abs(each % 24 - 12) for each in range(150)])
WINDOW = 100


@pytest.fixture
def series():
    """A series that was computed with the usual parameters first, and then with its own."""
    found = new_series()
    pipeline().ingest(found, WAVES[:140])
    before = shown(found)
    give(found, SHORT)
    for candle in WAVES[140:]:
        pipeline().ingest(found, [candle])
    assert shown(found) != before
    return found


def shown(series):
    delta = runtime.reads().delta(series, cursor=0, window=WINDOW, at_time=None).body
    return [each["definition"] for each in delta["instruction_catalog_patch"]]


def test_drawings_are_those_of_a_series_that_had_the_parameters_from_the_start(series):
    other = new_series()
    pipeline().ingest(other, WAVES[:1])
    give(other, SHORT)
    pipeline().ingest(other, WAVES)
    assert shown(series) == shown(other) != []
    for time in (WAVES[60].candle_time, WAVES[-1].candle_time):
        runtime.reads().check(series, time, window=WINDOW)


def test_verification_computes_with_its_parameters(series):
    verdict = verifier().run(series)
    assert verdict.is_clean, [each.first_difference for each in verdict.comparisons]
    # The ledger is not that of the parameters that are set now.
    give(series, {"window_major": 7})
    assert not verifier().run(series).is_clean


def test_replay_shows_what_its_parameters_gave(series):
    start, end = WAVES[100].candle_time, WAVES[-1].candle_time
    walk = reader().begin(series, start, window=WINDOW, with_factors=True)
    for time, state in walked(walk, end, 10):
        assert state == framed(runtime.reads(), series, time, WINDOW)
    events = factors.factor_ledger().events(series, 0, end)
    windows = {each.payload["window"] for each in events if each.kind == "pivot.major"}
    assert windows == {SHORT["window_major"]}


def test_retention_restores_states_of_its_parameters(series):
    retention = runtime.retention()
    fingerprint = engine_with(SHORT).fingerprint
    place = retention._place(series)
    assert place.facts[2] == fingerprint
    assert place.drawn[2] == runtime.fingerprint_of(fingerprint)
    head = candle_store().state(series).head
    assert retention._found(series, place, head) is None
    give(series, {"window_major": 7})
    with pytest.raises(NotNow, match="rebuild"):
        retention._found(series, retention._place(series), head)
