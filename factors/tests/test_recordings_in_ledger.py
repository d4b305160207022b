"""Recorded results, written through the pipeline and read back: equal to the last digit."""

from __future__ import annotations

import pytest

from factors.domain.slices import head_at
from factors.domain.tests.recordings import engine
from factors.tests.ledgers import END, Worker, new_series
from tests.recordings import vector_candles, vector_json

RECORDED = {entry["key"] for entry in vector_json("catalog.json")["factors"]}
RECORDINGS = [(name, variant) for name in ("p1", "p2") for variant in ("", ".w5")]
BATCH = 37


@pytest.mark.parametrize(("name", "variant"), RECORDINGS)
def test_ledger_equals_the_recorded_series(stores, name, variant):
    recorded = vector_json(f"{name}{variant}.events.json")
    candles = vector_candles(name)[: recorded["candle_count"]]
    parameters = recorded["params"]
    recording = engine(
        parameters["pivot_window_major"],
        parameters["pivot_window_minor"],
        **parameters.get("sr", {}),
    )
    series = new_series(f"{recorded['timeframe_s']}s")
    for start in range(0, len(candles), BATCH):
        # A worker of its own for each batch: everything passes through the ledger.
        Worker(stores, recording).ingest(series, candles[start : start + BATCH])
    events = [e for e in stores.ledger.events(series, 0, END) if e.factor in RECORDED]
    assert [_fields(each, like) for each, like in zip(events, recorded["events"], strict=True)] == [
        {key: value for key, value in each.items() if key != "n"} for each in recorded["events"]
    ]
    for moment in vector_json(f"{name}{variant}.heads.json")["at"]:
        time = moment["at_time"]
        heads = stores.ledger.view(series, start=time, at_time=time, limit=1).heads
        assert {
            spec.name: head_at(spec, heads[spec.name], time)
            for spec in recording.factors
            if spec.name in heads and spec.name in RECORDED
        } == moment["heads"]


def _fields(event, recorded):
    """The event as a mapping; some recordings leave payloads out."""
    return {key: value for key, value in event._asdict().items() if key in recorded}
