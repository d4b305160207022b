"""The incremental factors against a second, slow writing of their definitions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factors.domain.sr import SrParameters
from factors.domain.tests import reference
from factors.domain.tests.recordings import candles_strategy, engine, facts_of
from tests.recordings import vector_candles

windows = st.integers(1, 4)


def pivots_of(events, size, candles):
    ordinals = {candle.candle_time: ordinal for ordinal, candle in enumerate(candles)}
    return [
        (event.payload["pivot_idx"], event.payload["direction"], ordinals[event.candle_time])
        for event in events
        if event.kind == f"pivot.{size}"
    ]


def levels_of(payload):
    return [
        (
            level["level_type"],
            level["status"],
            level["last_idx"],
            level["first_idx"],
            level["price"],
            level["level_score"],
            level["death_idx"],
            level["flip_dir"],
        )
        for level in payload["levels"]
    ]


def with_score(level):
    *before, touches, death, flip = level
    score = 0.5 * min(1, touches / 4) + 0.5 * (1 if touches > 0 else 0)
    return (*before, score, death, flip)


def check_levels(folding, candles, window, parameters, timeframe_seconds=60):
    events, _ = facts_of(folding, candles)
    ordinals = {candle.candle_time: ordinal for ordinal, candle in enumerate(candles)}
    for event in events:
        if event.kind == "sr.snapshot":
            prefix = candles[: ordinals[event.candle_time] + 1]
            majors = reference.major_pivots(prefix, window, timeframe_seconds)
            expected = reference.Levels(prefix, majors, parameters).chosen()
            assert levels_of(event.payload) == [with_score(level) for level in expected]


@given(candles=candles_strategy(), major=windows, minor=windows)
def test_pivots_are_those_of_the_definition(candles, major, minor):
    events, _ = facts_of(engine(major, minor), candles)
    majors = reference.major_pivots(candles, major, 60)
    assert pivots_of(events, "major", candles) == majors
    minors = reference.minor_pivots(candles, minor, 60, majors)
    assert pivots_of(events, "minor", candles) == minors


@given(candles=candles_strategy(), window=windows)
def test_pen_preview_is_that_of_the_definition_at_every_candle(candles, window):
    _, heads = facts_of(engine(window, window), candles)
    for count, candle in enumerate(candles, 1):
        prefix = candles[:count]
        expected = reference.pen_head(prefix, reference.major_pivots(prefix, window, 60))
        assert heads[candle.candle_time].get("pen") == expected


@given(
    candles=candles_strategy(max_size=140),
    window=st.integers(1, 2),
    limit=st.integers(1, 9),
    period=st.integers(1, 14),
)
def test_sr_levels_are_those_of_the_definition(candles, window, limit, period):
    parameters = {"cluster_pivot_limit": limit, "atr_period": period, "max_levels": 3}
    folding = engine(window, 1, **parameters)
    check_levels(folding, candles, window, SrParameters(**parameters))


@pytest.mark.parametrize("limit", [7, 40])
def test_sr_levels_are_those_of_the_definition_on_a_recorded_series(limit):
    candles = vector_candles("trimmed")
    # The recording starts off the grid; pivots only look at distances.
    parameters = {"cluster_pivot_limit": limit}
    check_levels(engine(2, 1, **parameters), candles, 2, SrParameters(**parameters))


@given(candles=candles_strategy(start=2.0), window=windows)
def test_sr_ignores_pivots_that_are_not_above_zero(candles, window):
    check_levels(engine(window, 1), candles, window, SrParameters())
