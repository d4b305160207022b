"""What a factor declares about itself, and the order in which factors run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from factors.domain.looks import Look, Words, translated
from factors.domain.values import History, Outcome, PastCandles, Payload, Setup, Slice
from market.domain.candle import Candle


class GraphError(ValueError):
    """Factors that can't be put in order; the message is part of the contract."""


@dataclass(frozen=True, slots=True)
class Feature:
    """A part of a factor's drawings that a client can show or hide.

    `description` is one sentence about what it shows; `translations` are label and description by
    language tag. `variants` are looks of the drawings whose id has that word after the feature.
    """

    key: str
    label: str
    default_visible: bool = True
    description: str = ""
    translations: Mapping[str, Words] = field(default_factory=dict)
    look: Look = Look()
    variants: Mapping[str, Look] = field(default_factory=dict)

    @property
    def switch(self) -> dict[str, Any]:
        """What a client needs to show or hide it."""
        return {"key": self.key, "label": self.label, "default_visible": self.default_visible}

    @property
    def more(self) -> dict[str, Any]:
        """What is set of everything else."""
        fields = {
            "description": self.description,
            "look": self.look.as_object(),
            "variants": {name: look.as_object() for name, look in self.variants.items()},
            "translations": translated(self.translations),
        }
        return {name: value for name, value in fields.items() if value}


def unchanged(head: Payload, at_time: int) -> Payload:
    """A head that reads the same at every later candle."""
    return head


def reads_nothing(_: Any) -> None:
    """A state that has all it needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorSpec:
    """One factor: its name, place in the graph, catalog entry and logic.

    `initial` makes the state before the first candle. `step` takes one candle into the state; it
    may read the states of the factors in `depends_on`, which have taken the same candle already,
    by name. It returns None when there is nothing to report. `freeze` turns a state into JSON
    values, `thaw` turns them back. `read` makes the slice from events and head, None when there is
    nothing to show. `carry` returns a stored head as it reads at a later candle. `reads_from` is
    the time from which on a thawed state may read candles (PastCandles): retention leaves those.

    `kinds` are those of its events: what reads of events may ask for.

    `version` must grow whenever the same candles would give other facts. `package` is the package,
    with its version, that a factor from outside comes from. `instance_of` is the name of the factor
    of which this is an instance (factors.domain.instances). Both are set when factors are loaded.
    """

    name: str
    depends_on: tuple[str, ...] = ()
    version: int
    label: str
    default_visible: bool = True
    translations: Mapping[str, Words] = field(default_factory=dict)
    features: tuple[Feature, ...]
    kinds: tuple[str, ...] = ()
    parameters: Any = None
    initial: Callable[[Setup], Any]
    step: Callable[[Any, Candle, Mapping[str, Any]], Outcome | None]
    freeze: Callable[[Any], Any]
    thaw: Callable[[Any, Setup, PastCandles], Any]
    read: Callable[[History, Payload | None], Slice | None]
    carry: Callable[[Payload, int], Payload] = unchanged
    reads_from: Callable[[Any], int | None] = reads_nothing
    package: str = ""
    instance_of: str = ""

    @property
    def more(self) -> dict[str, Any]:
        """What the catalog has of it beside its features."""
        fields = {
            "translations": translated(self.translations),
            "package": self.package,
            "instance_of": self.instance_of,
        }
        return {name: value for name, value in fields.items() if value}


def in_order(specs: Iterable[FactorSpec]) -> tuple[FactorSpec, ...]:
    """The factors with every dependency before its dependants, otherwise alphabetical.

    Raises GraphError when a name is empty or given twice, a dependency is missing, or factors
    depend on each other in a circle.
    """
    by_name: dict[str, FactorSpec] = {}
    for spec in specs:
        if not spec.name.strip():
            raise GraphError("empty_factor_name")
        if spec.name in by_name:
            raise GraphError(f"duplicate_factor:{spec.name}")
        by_name[spec.name] = spec
    missing = sorted(
        f"{spec.name}->{needed}"
        for spec in by_name.values()
        for needed in spec.depends_on
        if needed not in by_name
    )
    if missing:
        raise GraphError(f"missing_deps:{missing}")
    ordered: dict[str, FactorSpec] = {}
    for name in sorted(by_name):
        _visit(name, by_name, ordered=ordered, path=())
    return tuple(ordered.values())


def catalog(specs: Iterable[FactorSpec]) -> dict[str, Any]:
    """What a client may show or hide: factors in the given order, with their features.

    `features` has the looks of features, and words of factors and features, by key.
    """
    specs = tuple(specs)
    factors = [
        {
            "key": spec.name,
            "label": spec.label,
            "default_visible": spec.default_visible,
            "sub_features": [feature.switch for feature in spec.features],
        }
        for spec in specs
    ]
    more = {feature.key: feature.more for spec in specs for feature in spec.features}
    more |= {spec.name: spec.more for spec in specs if spec.more}
    features = {key: each for key, each in more.items() if each}
    return {"schema_version": 1, "factors": factors, "features": features}


def _visit(
    name: str,
    by_name: Mapping[str, FactorSpec],
    *,
    ordered: dict[str, FactorSpec],
    path: tuple[str, ...],
) -> None:
    if name in path:
        raise GraphError("cycle:" + "->".join((*path[path.index(name) :], name)))
    if name in ordered:
        return
    for needed in sorted(by_name[name].depends_on):
        _visit(needed, by_name, ordered=ordered, path=(*path, name))
    ordered[name] = by_name[name]
