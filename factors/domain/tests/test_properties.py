"""What holds for all candles: grouping, restarts and later candles change nothing."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factors.domain.engine import CandleOrderError, Engine
from factors.domain.pivot import PivotParameters
from factors.domain.sr import SrParameters
from factors.domain.tests.installed import FACTORS
from factors.domain.tests.recordings import (
    MINUTE,
    candles_strategy,
    engine,
    facts_of,
    flat,
    fold,
    reader,
)
from factors.domain.values import StateError
from tests.recordings import recorded_candles, vector_candles, vector_json

windows = st.integers(1, 3)
splits = st.lists(st.integers(0, 140), max_size=6)


def fold_with_restarts(folding, candles, cuts):
    """Like fold, by another worker after each cut; every worker sees only what is stored."""
    state, results, start = folding.initial(MINUTE), [], 0
    for cut in sorted(min(cut, len(candles)) for cut in [*cuts, len(candles)]):
        results += [json.dumps(folding.step(state, candle)) for candle in candles[start:cut]]
        # The store holds the whole batch already when a restored state reads from it.
        state = folding.restore(folding.dump(state), reader(candles))
        start = cut
    return results


@given(candles=candles_strategy(max_size=140), window=windows, cuts=splits, limit=st.integers(2, 9))
def test_restarts_change_no_result(candles, window, cuts, limit):
    folding = engine(window, 1, cluster_pivot_limit=limit)
    assert fold_with_restarts(folding, candles, cuts) == fold(folding, candles)


def test_restart_at_every_candle_of_a_recording_changes_no_result():
    candles = vector_candles("trimmed")
    folding = engine(5, 2)
    cuts = range(len(candles))
    assert fold_with_restarts(folding, candles, cuts) == fold(folding, candles)


def test_factors_declare_the_kinds_of_their_events():
    declared = {spec.name: spec.kinds for spec in FACTORS}
    folding = engine(5, 2)
    state = folding.initial(MINUTE)
    for candle in vector_candles("trimmed"):
        for event in folding.step(state, candle).events:
            assert event.kind in declared[event.factor]


@given(candles=candles_strategy(), more=candles_strategy(), window=windows)
def test_later_candles_change_no_result(candles, more, window):
    folding = engine(window, 1)
    state = folding.initial(MINUTE)
    results = [folding.step(state, candle) for candle in candles]
    at_once = fold(folding, candles)
    shift = candles[-1].candle_time
    for candle in more:
        folding.step(state, candle._replace(candle_time=shift + candle.candle_time))
    # Payloads are shared between events, heads and the state: none may have been changed.
    assert [json.dumps(result) for result in results] == at_once


@given(candles=candles_strategy(), window=windows)
def test_head_is_reported_only_when_it_changed(candles, window):
    folding = engine(window, 1)
    state, last = folding.initial(MINUTE), {}
    for result in folding.fold(state, candles):
        for head in result.heads:
            assert head.head != last.get(head.factor)
            last[head.factor] = head.head


@given(candles=candles_strategy(max_size=140), window=windows)
def test_every_event_has_its_own_key_and_its_visible_time(candles, window):
    events, _ = facts_of(engine(window, 1), candles)
    assert len({(event.factor, event.event_key) for event in events}) == len(events)
    assert all(event.payload["visible_time"] == event.candle_time for event in events)


def test_engine_refuses_a_candle_that_is_not_newer():
    folding = engine(1, 1)
    state = folding.initial(MINUTE)
    first, second = flat(1.0, 2.0)
    folding.step(state, second)
    for candle in (first, second):
        with pytest.raises(CandleOrderError):
            folding.step(state, candle)


@pytest.mark.parametrize(
    "data", [b"", b"not json", b'{"format":0}', Engine(FACTORS).dump(engine().initial(MINUTE))]
)
def test_engine_refuses_a_state_that_is_not_its_own(data):
    with pytest.raises(StateError):
        engine(3, 1).restore(data, reader([]))


def test_engine_refuses_to_go_on_when_stored_candles_are_gone():
    candles = flat(12.0, 10.0, 20.0, 12.0, 20.0, 13.0, 30.0, 12.0)
    folding = engine(1, 1)
    state = folding.initial(MINUTE)
    for candle in candles[:6]:
        folding.step(state, candle)
    restored = folding.restore(folding.dump(state), reader(candles[3:]))
    with pytest.raises(StateError, match="expected 5 candles from 120 on, found 3"):
        for candle in candles[6:]:
            folding.step(restored, candle)


def test_engine_state_stays_small():
    candles = recorded_candles("BTC_USDT-5m")
    folding = engine(3, 1)
    state = folding.initial(MINUTE)
    sizes = []
    for count, candle in enumerate(candles[:12_000]):
        folding.step(state, candle._replace(candle_time=60 * count))
        if count % 4_000 == 3_999:
            sizes.append(len(folding.dump(state)))
    assert sizes[-1] < 1.2 * sizes[0]


@pytest.mark.parametrize(
    "other",
    [
        Engine(FACTORS, {"pivot": PivotParameters(49, 5)}),
        Engine(FACTORS, {"sr": SrParameters(max_levels=9)}),
        Engine(FACTORS, salt="2"),
        Engine(FACTORS[:-1]),
    ],
)
def test_fingerprint_changes_with_whatever_decides_the_answers(other):
    assert other.fingerprint != Engine(FACTORS).fingerprint


def test_fingerprint_of_the_recorded_factors_is_the_same_in_every_process():
    recorded = {entry["key"] for entry in vector_json("catalog.json")["factors"]}
    factors = [spec for spec in FACTORS if spec.name in recorded]
    expected = vector_json("fingerprint.json")
    assert Engine(factors).fingerprint == Engine(factors[::-1]).fingerprint == expected


@pytest.mark.parametrize("windows", [(0, 5), (50, 0)])
def test_parameters_refuse_windows_without_candles(windows):
    with pytest.raises(ValueError, match="at least 1"):
        PivotParameters(*windows)


@pytest.mark.parametrize(
    "name", ["max_levels", "broken_cross_count", "atr_period", "cluster_pivot_limit"]
)
def test_parameters_refuse_counts_of_nothing(name):
    with pytest.raises(ValueError, match="at least 1"):
        SrParameters(**{name: 0})
