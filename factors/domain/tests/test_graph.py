"""Order of the factors, refusals at start-up, and the catalog."""

from dataclasses import replace

import pytest

from factors.domain import pivot
from factors.domain.all_factors import FACTORS
from factors.domain.engine import Engine
from factors.domain.graph import GraphError, catalog, in_order

# What GET /api/factor/catalog answers, by the written contract.
PIVOT_ENTRY = {
    "key": "pivot",
    "label": "Pivot",
    "default_visible": True,
    "sub_features": [
        {"key": "pivot.major", "label": "Major", "default_visible": True},
        {"key": "pivot.minor", "label": "Minor", "default_visible": False},
    ],
}
FEATURES = {
    "pivot": ["pivot.major", "pivot.minor"],
    "pen": ["pen.confirmed", "pen.extending", "pen.candidate"],
    "zhongshu": ["zhongshu.alive", "zhongshu.dead"],
    "anchor": ["anchor.current", "anchor.history", "anchor.switch"],
    "sr": ["sr.active", "sr.broken"],
}


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


def test_graph_runs_the_registry_in_the_contracts_order():
    # Not the order of the alphabet: anchor needs pen and zhongshu.
    for factors in (FACTORS, FACTORS[::-1]):
        assert [spec.name for spec in in_order(factors)] == [
            "pivot", "pen", "zhongshu", "anchor", "sr",
        ]  # fmt: skip


def test_engine_refuses_parameters_of_a_factor_it_has_not():
    with pytest.raises(ValueError, match="unknown factors: nope"):
        Engine(FACTORS, {"nope": None})


def test_catalog_lists_factors_with_their_features():
    answer = catalog(Engine(FACTORS).factors)
    assert answer["schema_version"] == 1
    assert answer["factors"][0] == PIVOT_ENTRY
    features = {
        entry["key"]: [feature["key"] for feature in entry["sub_features"]]
        for entry in answer["factors"]
    }
    assert features == FEATURES
    hidden = [
        feature["key"]
        for entry in answer["factors"]
        for feature in entry["sub_features"]
        if not feature["default_visible"]
    ]
    assert hidden == ["pivot.minor", "sr.broken"]
