"""The engine gives what the server gives, whatever its candles come as."""

from __future__ import annotations

import csv

import pandas as pd
import polars as pl
import pytest

from factors.domain.engine import CandleOrderError
from factors.domain.foreign import FactorsRefused
from lab.pictures.draw_factors import compute
from tests.recordings import VECTORS, vector_candles, vector_json
from trade_canvas_factors import Candle, CandlesError, Engine, PivotParameters, SrParameters

SMALL = {"pivot": {"window_major": 5, "window_minor": 2}}
CANDLES = vector_candles("p1")[:900]


def as_frame(library):
    return library.DataFrame({name: list(values) for name, values in zip(
        Candle._fields, zip(*CANDLES, strict=True), strict=True
    )})  # fmt: skip


def dated(frame):
    return frame.assign(date=pd.to_datetime(frame.candle_time, unit="s", utc=True)).drop(
        columns="candle_time"
    )


def rows_of_the_file():
    with (VECTORS / "p1.candles.csv").open(newline="") as file:
        return list(csv.DictReader(file))[:900]


FORMS = {
    "candles": lambda: CANDLES,
    "tuples": lambda: map(tuple, CANDLES),
    "rows of a file": rows_of_the_file,
    "pandas": lambda: as_frame(pd),
    "pandas with dates": lambda: dated(as_frame(pd)),
    "pandas with an index of dates": lambda: dated(as_frame(pd)).set_index("date"),
    "pandas with dates without a zone": lambda: dated(as_frame(pd)).assign(
        date=lambda frame: frame.date.dt.tz_localize(None)
    ),
    "pandas with dates elsewhere": lambda: dated(as_frame(pd)).assign(
        date=lambda frame: frame.date.dt.tz_convert("Asia/Shanghai")
    ),
    "polars": lambda: as_frame(pl),
    "polars with dates": lambda: as_frame(pl).with_columns(
        date=pl.from_epoch("candle_time", time_unit="s")
    ).drop("candle_time"),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_candles_gives_the_recorded_events(form):
    run = Engine("1m", parameters=SMALL).run(FORMS[form]())
    assert run.candles == CANDLES
    recorded = vector_json("p1.w5.events.json")["events"]
    assert [event.event_key for event in run.events] == [each["event_key"] for each in recorded]


@pytest.mark.parametrize("name", ["p1", "p2"])
def test_run_equals_the_recording_with_its_heads(name):
    recorded = vector_json(f"{name}.events.json")
    run = Engine(f"{recorded['timeframe_s']}s").run(vector_candles(name))
    expected = [{key: value for key, value in each.items() if key != "n"} for each in
                recorded["events"]]  # fmt: skip
    assert [event._asdict() for event in run.events] == expected
    last = vector_json(f"{name}.heads.json")["at"][-1]
    assert last["at_time"] == run.candles[-1].candle_time
    assert run.heads == last["heads"]


@pytest.mark.parametrize("count", [300, 900])
def test_drawings_at_a_candle_are_those_of_the_engines(count):
    run, time = Engine("1m", parameters=SMALL).run(CANDLES), CANDLES[count - 1].candle_time
    expected = compute(CANDLES[:count], 5, 2).drawings
    shown = {each.id: each.definition for each in run.drawings(time)}
    assert shown == {name: definition for name, definition in expected.items() if definition}
    assert {definition["type"] for definition in shown.values()} == {"marker", "polyline"}


def test_stepping_equals_running():
    engine = Engine("1m", parameters=SMALL)
    run = engine.run(CANDLES[:600])
    steps = [run.step(candle) for candle in CANDLES[600:]]
    whole = engine.run(CANDLES)
    assert run.events == whole.events
    assert run.heads == whole.heads
    assert run.drawings() == whole.drawings()
    assert [event for step in steps for event in step.events] == whole.events[-len(
        [event for step in steps for event in step.events]) :]  # fmt: skip
    assert any(step.drawings for step in steps)
    assert any(step.heads for step in steps)


def test_step_takes_rows_and_mappings():
    run = Engine("1m").start()
    run.step((60, 1, 2, 0.5, 1.5))
    run.step({"candle_time": 120, "open": 1, "high": 2, "low": 1, "close": 2, "volume": 3})
    assert run.candles == [Candle(60, 1, 2, 0.5, 1.5, 0), Candle(120, 1, 2, 1, 2, 3)]
    with pytest.raises(CandleOrderError):
        run.step((120, 1, 2, 0.5, 1.5))


def test_runs_of_one_engine_share_nothing():
    engine = Engine("1m", parameters=SMALL)
    assert engine.run(CANDLES).events == engine.run(CANDLES).events
    assert engine.start().events == []
    assert (engine.start().heads, engine.start().drawings()) == ({}, [])


def test_parameters_are_fields_or_the_factor_s_own_object():
    fields = Engine("1m", parameters={**SMALL, "sr": {"max_levels": 3}})
    objects = {"pivot": PivotParameters(5, 2), "sr": SrParameters(max_levels=3)}
    assert fields.fingerprint == Engine("1m", parameters=objects).fingerprint
    assert fields.fingerprint != Engine("1m").fingerprint


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"pivot": {"window": 5}}, "pivot: there is no parameter window"),
        ({"nothing": {}}, "unknown factors: nothing"),
        ({"pivot": {"window_major": 0}}, "at least 1"),
    ],
)
@pytest.mark.parametrize("make", [Engine, Engine.installed], ids=["built-in", "installed"])
def test_wrong_parameters_are_refused(make, parameters, message):
    with pytest.raises(ValueError, match=message):
        make("1m", parameters=parameters)


def test_instance_is_the_factor_with_other_parameters():
    instances = {
        "pivot_5": {"factor": "pivot", "parameters": {"window_major": 5, "window_minor": 2}},
        "pen_5": {"factor": "pen", "uses": {"pivot": "pivot_5"}},
    }
    run = Engine.installed("1m", instances=instances).run(CANDLES)
    small, default = Engine("1m", parameters=SMALL).run(CANDLES), Engine("1m").run(CANDLES)

    def pens(run, name):
        return [event.event_key for event in run.events if event.factor == name]

    assert pens(run, "pen_5") == pens(small, "pen") != pens(run, "pen") == pens(default, "pen")
    assert "pen_5.confirmed" in {each.feature for each in run.drawings()}


def test_instance_that_a_server_refuses_is_refused():
    with pytest.raises(FactorsRefused, match="factor_instance_refused: pivot_5"):
        Engine.installed("1m", instances={"pivot_5": {"factor": "none"}})


def test_engine_without_renderers_draws_nothing():
    run = Engine("1m", parameters=SMALL, renderers=()).run(CANDLES)
    assert run.events
    assert run.drawings() == []


def test_events_become_a_frame():
    run = Engine("1m", parameters=SMALL).run(CANDLES)
    frame = pd.DataFrame(run.event_columns())
    assert len(frame) == len(run.events)
    assert set(frame[frame.factor == "pen"].kind) == {"pen.confirmed"}
    assert pl.DataFrame({"kind": run.event_columns()["kind"]}).height == len(frame)


ROW = {"candle_time": 60, "open": 1, "high": 2, "low": 1, "close": 2}


@pytest.mark.parametrize(
    ("candles", "message"),
    [
        ([ROW, ROW], "row 1: times must ascend"),
        ([{**ROW, "candle_time": 61}], "row 0: candle_time is not on the 1m grid"),
        ([{**ROW, "low": 3}], "row 0: low must not be above open or close"),
        ([{**ROW, "close": float("nan")}], "row 0: close must be a finite number"),
        ([{**ROW, "candle_time": 60_000_000_000_000}], "milliseconds must be divided by 1000"),
        ([{**ROW, "candle_time": 60.5}], "60.5 is not a whole second"),
        ([{**ROW, "open": None}], "row 0 is no candle"),
        ([{"open": 1, "high": 2, "low": 1, "close": 2}], "it has no time"),
        ([(60, 1, 2)], "row 0 is no candle"),
        (pd.DataFrame({"open": [1.0], "date": [60]}), "no column high, low, close"),
        (pd.DataFrame({name: [1.0] for name in ("open", "high", "low", "close")}), "has no times"),
    ],
)
def test_candles_that_cannot_be_computed_are_refused(candles, message):
    with pytest.raises(CandlesError, match=message):
        Engine("1m").run(candles)
