"""The recorded results, equal to the last digit."""

import pytest

from factors.domain.tests.recordings import MINUTE, engine, facts_of
from market.domain.candle import Candle
from market.domain.timeframe import Timeframe
from tests.recordings import vector_candles, vector_json

VECTORS = [(name, variant) for name in ("p1", "p2") for variant in ("", ".w5")]
MICRO_CASES = vector_json("micro_cases.json")["cases"]
RECORDED = {entry["key"] for entry in vector_json("catalog.json")["factors"]}


def recorded_results(folding, candles, timeframe=MINUTE):
    """The results of the recorded factors; later ones have tests of their own."""
    events, heads = facts_of(folding, candles, timeframe)
    kept = {
        time: {name: head for name, head in seen.items() if name in RECORDED}
        for time, seen in heads.items()
    }
    return [event for event in events if event.factor in RECORDED], kept


def engine_of(parameters):
    sr = parameters.get("sr", {})
    return engine(parameters["pivot_window_major"], parameters["pivot_window_minor"], **sr)


def without(item, *names):
    return {name: value for name, value in item.items() if name not in names}


def check_recording(candles, recorded_events, recorded_heads):
    timeframe = Timeframe.parse(f"{recorded_events['timeframe_s']}s")
    candles = candles[: recorded_events["candle_count"]]
    events, heads = recorded_results(engine_of(recorded_events["params"]), candles, timeframe)
    assert [event.event_key for event in events] == [
        event["event_key"] for event in recorded_events["events"]
    ]
    for event, recorded in zip(events, recorded_events["events"], strict=True):
        # Some recordings leave the payload of sr events out.
        omitted = () if "payload" in recorded else ("payload",)
        assert without(event._asdict(), *omitted) == without(recorded, "n")
    for recorded in recorded_heads["at"]:
        assert heads[recorded["at_time"]] == recorded["heads"]


@pytest.mark.parametrize(("name", "variant"), VECTORS)
def test_engine_equals_the_recorded_series(name, variant):
    check_recording(
        vector_candles(name),
        vector_json(f"{name}{variant}.events.json"),
        vector_json(f"{name}{variant}.heads.json"),
    )


def test_engine_equals_the_trimmed_recording():
    check_recording(
        vector_candles("trimmed"),
        vector_json("trimmed.events.json"),
        vector_json("trimmed.heads.json"),
    )


@pytest.mark.parametrize("case", MICRO_CASES, ids=lambda case: case["name"])
def test_engine_equals_the_micro_case(case):
    candles = [Candle(*row) for row in case["candles"]]
    events, heads = recorded_results(engine_of(case["params"]), candles)
    assert [event._asdict() for event in events] == case["events"]
    assert heads[candles[-1].candle_time] == case["heads"]
