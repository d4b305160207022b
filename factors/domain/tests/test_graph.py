"""Order of the factors, refusals at start-up, and the catalog."""

from dataclasses import replace

import pytest

from factors.domain import pivot
from factors.domain.engine import Engine
from factors.domain.graph import Feature, GraphError, catalog, in_order
from factors.domain.looks import CHINESE, Look, Words
from factors.domain.tests.installed import FACTORS
from tests.recordings import vector_json

RECORDED = vector_json("catalog.json")
"""The catalog of the written contract; later factors are added to it."""


def factor(name, *depends_on):
    return replace(pivot.SPEC, name=name, depends_on=depends_on)


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ([factor("")], "empty_factor_name"),
        ([factor("a"), factor("b"), factor("a")], "duplicate_factor:a"),
        ([factor("b", "x"), factor("a", "y", "b")], "missing_deps:['a->y', 'b->x']"),
        ([factor("a", "b"), factor("b", "a")], "cycle:a->b->a"),
        ([factor("a", "b"), factor("b", "c"), factor("c", "b")], "cycle:b->c->b"),
        ([factor("a", "a")], "cycle:a->a"),
    ],
)
def test_graph_refuses_factors_without_an_order(factors, message):
    with pytest.raises(GraphError) as refused:
        in_order(factors)
    assert str(refused.value) == message


def test_graph_runs_dependencies_first_and_otherwise_by_name():
    factors = [factor("d"), factor("c", "d"), factor("a", "e", "c"), factor("e"), factor("b")]
    assert [spec.name for spec in in_order(factors)] == ["d", "c", "e", "a", "b"]


def test_graph_does_not_depend_on_the_order_of_the_list():
    assert in_order(FACTORS) == in_order(FACTORS[::-1])


def test_engine_refuses_parameters_of_a_factor_it_has_not():
    with pytest.raises(ValueError, match="unknown factors: nope"):
        Engine(FACTORS, {"nope": None})


def test_catalog_contains_the_recorded_factors_in_their_order():
    answer = catalog(Engine(FACTORS).factors)
    recorded = {entry["key"] for entry in RECORDED["factors"]}
    answer["factors"] = [entry for entry in answer["factors"] if entry["key"] in recorded]
    del answer["features"]
    assert answer == RECORDED


def test_catalog_has_looks_and_words_by_key_of_what_is_set():
    look = Look(color="violet", momentary=True)
    features = (
        Feature("a.b", "B", description="It is b", look=look, variants={"up": Look(name="U")}),
        Feature("a.c", "C", translations={CHINESE: Words("丙")}),
        Feature("a.d", "D"),
    )
    spec = replace(FACTORS[0], name="a", features=features, translations={CHINESE: Words("甲")})
    assert catalog([spec])["features"] == {
        "a.b": {
            "description": "It is b",
            "look": {"color": "violet", "momentary": True},
            "variants": {"up": {"name": "U"}},
        },
        "a.c": {"translations": {"zh-CN": {"label": "丙"}}},
        "a": {"translations": {"zh-CN": {"label": "甲"}}},
    }


def test_every_feature_is_described_in_both_languages():
    recorded = {entry["key"] for entry in RECORDED["factors"]}
    for spec in (spec for spec in FACTORS if spec.name in recorded):
        assert CHINESE in spec.translations, spec.name
        for feature in spec.features:
            assert feature.description, feature.key
            assert feature.translations[CHINESE].description, feature.key
