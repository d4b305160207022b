"""Instances: one factor several times, each with a name and parameters of its own.

The logic of a factor knows its own name and those of the factors that it depends on. An instance
runs that logic unchanged, and translates names on the way in and out: of events, of features, of
upstream states and of parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from factors.domain.graph import FactorSpec
from factors.domain.looks import Words
from factors.domain.values import Event, History, Outcome, PastCandles, Payload, Setup, Slice
from market.domain.candle import Candle


@dataclass(frozen=True, slots=True)
class Naming:
    """How an instance is named outside: `names` are outer names by the logic's own names.

    They are those of the factor itself, `factor`, and of the factors for which another one is used.
    """

    factor: str
    names: Mapping[str, str]

    @property
    def name(self) -> str:
        """The outer name of the instance."""
        return self.names[self.factor]

    def outer(self, text: str) -> str:
        """A kind, a feature or an instruction id with the outer name before its first dot."""
        name, dot, rest = text.partition(".")
        return f"{self.names.get(name, name)}{dot}{rest}"

    def inner(self, text: str) -> str | None:
        """The same with the logic's own name; None for what the instance must not see."""
        name, dot, rest = text.partition(".")
        for inner, outer in self.names.items():
            if name == outer:
                return f"{inner}{dot}{rest}"
        # Other factors have the name of something for which the instance uses another one.
        return None if name in self.names else text


def named(event: Event, naming: Naming) -> Event:
    """The event of an instance as the ledger holds it."""
    return event._replace(factor=naming.name, kind=naming.outer(event.kind))


def factor_instance(spec: FactorSpec, naming: Naming, *, label: str, parameters: Any) -> FactorSpec:
    """The factor under another name, with other parameters."""
    names = naming.names
    upstream_names = {name: names.get(name, name) for name in spec.depends_on}

    def inner_setup(setup: Setup) -> Setup:
        own = {inner: setup.parameters[outer] for inner, outer in names.items()}
        return Setup({**setup.parameters, **own}, setup.timeframe)

    def initial(setup: Setup) -> Any:
        return spec.initial(inner_setup(setup))

    def step(state: Any, candle: Candle, upstream: Mapping[str, Any]) -> Outcome | None:
        seen = {inner: upstream[outer] for inner, outer in upstream_names.items()}
        outcome = spec.step(state, candle, seen)
        if outcome is None or not outcome.events:
            return outcome
        return Outcome([named(event, naming) for event in outcome.events], outcome.head)

    def thaw(data: Any, setup: Setup, past: PastCandles) -> Any:
        return spec.thaw(data, inner_setup(setup), past)

    def read(history: History, head: Payload | None) -> Slice | None:
        return spec.read(history.renamed(naming.inner), head)

    return replace(
        spec,
        name=naming.name,
        depends_on=tuple(upstream_names.values()),
        label=label,
        translations=_relabelled(spec, label),
        features=tuple(replace(each, key=naming.outer(each.key)) for each in spec.features),
        kinds=tuple(map(naming.outer, spec.kinds)),
        parameters=parameters,
        instance_of=spec.name,
        initial=initial,
        step=step,
        thaw=thaw,
        read=read,
    )


def relabelled(spec: FactorSpec, label: str) -> FactorSpec:
    """The factor with another label, in every language."""
    return replace(spec, label=label, translations=_relabelled(spec, label))


def label_of(spec: FactorSpec, name: str, values: Mapping[str, Any]) -> str:
    """The label of an instance that was given none: with the values that set it apart."""
    shown = [f"{each:g}" if _is_number(each) else str(each) for each in values.values()]
    return " ".join([spec.label, *(shown or [name])])


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _relabelled(spec: FactorSpec, label: str) -> Mapping[str, Words]:
    """The translations with what a label adds to the factor's; another label is in no language."""
    if not label.startswith(spec.label):
        return {
            language: replace(words, label=label) for language, words in spec.translations.items()
        }
    added = label.removeprefix(spec.label)
    return {
        language: replace(words, label=words.label + added)
        for language, words in spec.translations.items()
    }
