"""The recorded answers, equal to the last digit."""

import pytest

from factors.domain.tests.recordings import (
    MINUTE,
    OWN_VECTORS,
    engine,
    load_candles,
    load_json,
    shared,
    told,
)
from market.domain.candle import Candle
from market.domain.timeframe import Timeframe

SHARED_VECTORS = [(name, variant) for name in ("p1", "p2") for variant in ("", ".w5")]
MICRO_CASES = load_json(OWN_VECTORS / "micro_cases.json")["cases"]


RECORDED_FACTORS = ("pivot", "pen", "zhongshu", "anchor", "sr")


def told_by_recorded(folding, candles, timeframe=MINUTE):
    """What the recorded factors said; one that came later has tests of its own."""
    events, heads = told(folding, candles, timeframe)
    kept = {
        time: {name: head for name, head in seen.items() if name in RECORDED_FACTORS}
        for time, seen in heads.items()
    }
    return [event for event in events if event.factor in RECORDED_FACTORS], kept


def engine_of(parameters):
    sr = parameters.get("sr", {})
    return engine(parameters["pivot_window_major"], parameters["pivot_window_minor"], **sr)


def without(item, *names):
    return {name: value for name, value in item.items() if name not in names}


def check_recording(candles, recorded_events, recorded_heads):
    timeframe = Timeframe.parse(f"{recorded_events['timeframe_s']}s")
    candles = candles[: recorded_events["candle_count"]]
    events, heads = told_by_recorded(engine_of(recorded_events["params"]), candles, timeframe)
    assert [event.event_key for event in events] == [
        event["event_key"] for event in recorded_events["events"]
    ]
    for event, recorded in zip(events, recorded_events["events"], strict=True):
        # Some recordings leave the payload of sr events out.
        omitted = () if "payload" in recorded else ("payload",)
        assert without(event._asdict(), *omitted) == without(recorded, "n")
    for recorded in recorded_heads["at"]:
        assert heads[recorded["at_time"]] == recorded["heads"]


@pytest.mark.parametrize(("name", "variant"), SHARED_VECTORS)
def test_engine_equals_the_recorded_series(name, variant):
    check_recording(
        load_candles(shared(f"vectors/{name}.candles.csv")),
        load_json(shared(f"vectors/{name}{variant}.events.json")),
        load_json(shared(f"vectors/{name}{variant}.heads.json")),
    )


def test_engine_equals_the_trimmed_recording():
    check_recording(
        load_candles(OWN_VECTORS / "trimmed.candles.csv"),
        load_json(OWN_VECTORS / "trimmed.events.json"),
        load_json(OWN_VECTORS / "trimmed.heads.json"),
    )


@pytest.mark.parametrize("case", MICRO_CASES, ids=lambda case: case["name"])
def test_engine_equals_the_micro_case(case):
    candles = [Candle(*row) for row in case["candles"]]
    events, heads = told_by_recorded(engine_of(case["params"]), candles)
    assert [event._asdict() for event in events] == case["events"]
    assert heads[candles[-1].candle_time] == case["heads"]


@pytest.mark.parametrize("name", ["micro_cases.json", "zhongshu_unit_cases.json"])
def test_own_copies_are_the_shared_cases(name):
    assert load_json(OWN_VECTORS / name) == load_json(shared(f"vectors/{name}"))
