"""Renderers of other packages, and instances: the same drawings under other names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given

from factors.domain.engine import Engine
from factors.domain.foreign import FactorsRefused
from factors.domain.pivot import PivotParameters
from factors.domain.registered import registered
from factors.domain.slices import slices
from factors.domain.tests.recordings import MINUTE, candles_strategy
from market.domain.series import SeriesId
from overlays.domain.all_renderers import overlay_engine
from overlays.domain.registered import registered_renderers
from overlays.domain.renderer import FactorStep

EXAMPLE = Path(__file__).parents[3] / "tests" / "foreign_example"
SERIES = SeriesId.parse("x:y:Z:1m")
SMALL = {"window_major": 1, "window_minor": 1}
# Each of the project's factors once more, on each other; only parameters could differ.
TWICE = {
    "pivot_b": {"factor": "pivot", "parameters": SMALL},
    "pen_b": {"factor": "pen", "uses": {"pivot": "pivot_b"}},
    "zhongshu_b": {"factor": "zhongshu", "uses": {"pen": "pen_b"}},
    "anchor_b": {"factor": "anchor", "uses": {"pen": "pen_b", "zhongshu": "zhongshu_b"}},
    "sr_b": {"factor": "sr", "uses": {"pivot": "pivot_b"}},
}


@pytest.fixture
def example(monkeypatch):
    """The package of the example, installed."""
    monkeypatch.syspath_prepend(EXAMPLE)


def engines(parameters, instances):
    known = registered(parameters, instances=json.dumps(instances))
    return Engine(known.factors), overlay_engine(20, registered_renderers(known))


def computed(candles, parameters, instances, *, cuts=()):
    """Events, heads, slices and changed drawings of all candles, as objects ready for JSON."""
    engine, drawing = engines(parameters, instances)
    state, drawn = engine.initial(MINUTE), drawing.initial(MINUTE)
    events, heads, changes, last = [], [], [], {}

    def read(start, end):
        return [each for each in candles if start <= each.candle_time <= end]

    for number, candle in enumerate(candles):
        result = engine.step(state, candle)
        events += result.events
        heads += result.heads
        last |= {head.factor: head.head for head in result.heads}
        changes += drawing.step(drawn, FactorStep.of(result, read))
        if number in cuts:
            state = engine.restore(engine.dump(state), read)
            drawn = drawing.restore(drawing.dump(drawn), read)
    time = candles[-1].candle_time
    shown = slices(engine.factors, SERIES, at_time=time, events=events, heads=last)
    return events, heads, shown, changes


def named_b(name):
    """The name of an instance for that of its factor, before the first dot."""
    factor, dot, rest = name.partition(".")
    return f"{factor}_b{dot}{rest}"


def is_b(row):
    """Whether an event, a head or a drawing is that of an instance."""
    return row[0].partition(".")[0].endswith("_b")


@given(candles=candles_strategy(max_size=70))
def test_instances_give_what_their_factors_give_with_those_parameters(candles):
    plain = computed(candles, {"pivot": PivotParameters(**SMALL)}, {})
    both = computed(candles, {"pivot": PivotParameters(3, 2)}, TWICE, cuts=range(0, 70, 3))
    events, heads, changes = (list(filter(is_b, both[part])) for part in (0, 1, 3))
    shown = {name: each for name, each in both[2].items() if name.endswith("_b")}
    wanted = [
        each._replace(factor=f"{each.factor}_b", kind=named_b(each.kind)) for each in plain[0]
    ]
    assert sorted(events) == sorted(wanted)
    assert sorted(heads, key=repr) == sorted(
        [each._replace(factor=f"{each.factor}_b") for each in plain[1]], key=repr
    )
    for name, each in plain[2].items():
        instance = shown[f"{name}_b"]
        assert (instance["history"], instance["head"]) == (each["history"], each["head"])
    assert len(shown) == len(plain[2])
    redrawn = [
        each._replace(
            instruction_id=named_b(each.instruction_id),
            definition={**each.definition, "feature": named_b(each.definition["feature"])}
            if each.definition.get("feature")
            else each.definition,
        )
        for each in plain[3]
    ]
    assert sorted(changes, key=repr) == sorted(redrawn, key=repr)


@given(candles=candles_strategy(max_size=40))
def test_instances_change_nothing_of_their_factors(candles):
    parameters = {"pivot": PivotParameters(2, 1)}
    plain, both = computed(candles, parameters, {}), computed(candles, parameters, TWICE)
    for alone, together in ((plain[0], both[0]), (plain[1], both[1]), (plain[3], both[3])):
        kept = [each for each in together if not is_b(each)]
        assert sorted(kept, key=repr) == sorted(alone, key=repr)


def test_example_is_loaded_with_its_renderer_and_its_versions(example):
    known = registered(foreign="ema")
    (ema,) = [each for each in registered_renderers(known, foreign="ema") if each.factor == "ema"]
    assert ema.package == "trade-canvas-ema 1.0.0"
    assert set(ema.features) == {"ema.line", "ema.cross"}


def test_factor_without_its_renderer_is_refused(example, tmp_path, monkeypatch):
    known = registered(foreign="ema")
    with pytest.raises(FactorsRefused, match=r"ema of trade-canvas-ema 1.0.0: no renderer in"):
        registered_renderers(known)


def test_renderer_without_its_factor_is_refused(example):
    with pytest.raises(FactorsRefused, match="there is no factor of this name"):
        registered_renderers(registered(), foreign="ema")


def test_instance_declares_its_own_kinds_and_features(example):
    setting = {"ema_50": {"factor": "ema", "parameters": {"length": 50}}}
    specs = registered(foreign="*", instances=json.dumps(setting)).factors
    (spec,) = [each for each in specs if each.name == "ema_50"]
    assert spec.kinds == ("ema_50.cross",)
    assert [each.key for each in spec.features] == ["ema_50.line", "ema_50.cross"]


def test_label_of_an_instance_has_what_sets_it_apart(example):
    setting = {
        "ema": {"label": "EMA 20"},
        "ema_50": {"factor": "ema", "parameters": {"length": 50}},
        "slow": {"factor": "ema", "parameters": {"length": 200}, "label": "Slow"},
        "same": {"factor": "ema"},
    }
    specs = registered(foreign="*", instances=json.dumps(setting)).factors
    labels = {each.name: each.label for each in specs}
    assert [labels[name] for name in setting] == ["EMA 20", "EMA 50", "Slow", "EMA same"]
    chinese = {each.name: each.translations["zh-CN"].label for each in specs}
    wanted = ["指数均线 20", "指数均线 50", "Slow", "指数均线 same"]
    assert [chinese[name] for name in setting] == wanted
