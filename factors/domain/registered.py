"""The factors of an installation: the project's own, those of other packages, and instances."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from factors.domain.all_factors import FACTORS
from factors.domain.foreign import (
    FACTORS_GROUP,
    NAME,
    FactorsRefused,
    allowed_names,
    found_in,
    load,
    require_own_names,
)
from factors.domain.graph import FactorSpec, GraphError, in_order
from factors.domain.instances import Naming, factor_instance, label_of, relabelled
from factors.domain.parameters import ParameterError, with_values

FIELDS = frozenset({"factor", "parameters", "label", "uses"})


class Wish(NamedTuple):
    """One entry of the setting of instances."""

    name: str
    factor: str
    parameters: Mapping[str, Any]
    label: str
    uses: Mapping[str, str]

    def refused(self, reason: str) -> FactorsRefused:
        """The error that names it."""
        return FactorsRefused(f"factor_instance_refused: {self.name}: {reason}")


@dataclass(frozen=True, slots=True)
class Registered:
    """All factors in their order, and how those that are instances are named.

    `foreign` are the names of factors of other packages.
    """

    factors: tuple[FactorSpec, ...]
    instances: tuple[Naming, ...] = ()
    foreign: frozenset[str] = frozenset()


def registered(
    parameters: Mapping[str, Any] | None = None, *, foreign: str = "", instances: str = ""
) -> Registered:
    """Load the factors that settings allow; `parameters` replaces defaults by factor name.

    `foreign` are names separated by commas, or `*`. `instances` is a JSON object by instance name.
    Raises FactorsRefused, with nothing loaded.
    """
    specs = {spec.name: spec for spec in FACTORS}
    for name, values in (parameters or {}).items():
        specs[name] = replace(specs[name], parameters=values)
    loaded = _foreign(specs, foreign)
    specs |= loaded
    namings = _add_instances(specs, instances)
    try:
        ordered = in_order(specs.values())
    except GraphError as error:
        raise FactorsRefused(f"factors_refused: {error}") from error
    return Registered(ordered, tuple(namings), frozenset(loaded))


def _foreign(own: Mapping[str, FactorSpec], setting: str) -> dict[str, FactorSpec]:
    allowed = allowed_names(setting)
    found = found_in(FACTORS_GROUP, allowed)
    missing = sorted(allowed - {"*"} - {each.name for each in found})
    if missing:
        raise FactorsRefused(
            f"foreign_factor_refused: {missing[0]}: no installed package has an entry point of"
            f" this name in {FACTORS_GROUP}"
        )
    loaded: dict[str, FactorSpec] = {}
    for each in found:
        if each.name in own:
            raise each.refused("there is a factor of this name already")
        spec = load(each, FactorSpec, lambda spec: spec.name)
        require_own_names(each, [*(feature.key for feature in spec.features), *spec.kinds])
        loaded[each.name] = replace(spec, package=each.package)
    for each in found:
        needed = loaded[each.name].depends_on
        absent = sorted(name for name in needed if name not in own and name not in loaded)
        if absent:
            raise each.refused(f"it depends on {absent[0]}, which is not loaded")
    return loaded


def _add_instances(specs: dict[str, FactorSpec], setting: str) -> list[Naming]:
    """Add the instances that a setting names to the specs."""
    wishes = _wishes(setting)
    # Those that set a factor's own parameters first: its instances begin with them.
    own = [wish for wish in wishes if wish.name == wish.factor]
    others = [wish for wish in wishes if wish.name != wish.factor]
    namings = []
    for wish in (*own, *others):
        _check(wish, specs)
        spec = specs[wish.factor]
        try:
            values = with_values(spec.parameters, wish.parameters)
        except ParameterError as error:
            raise wish.refused(str(error)) from error
        if wish in own:
            specs[wish.name] = replace(spec, parameters=values)
            continue
        naming = Naming(spec.name, {spec.name: wish.name, **wish.uses})
        label = wish.label or label_of(spec, wish.name, wish.parameters)
        specs[wish.name] = factor_instance(spec, naming, label=label, parameters=values)
        namings.append(naming)
    # Labels last: those of instances are made of the factor's first one.
    for wish in own:
        specs[wish.name] = relabelled(specs[wish.name], wish.label or specs[wish.name].label)
    return namings


def _check(wish: Wish, specs: Mapping[str, FactorSpec]) -> None:
    if not NAME.fullmatch(wish.name):
        raise wish.refused("a name is lower case letters, digits and underscores")
    spec = specs.get(wish.factor)
    if spec is None or spec.instance_of:
        raise wish.refused(f"there is no factor {wish.factor} to make an instance of")
    if wish.name == wish.factor:
        if wish.uses:
            raise wish.refused("only an instance of another name can use other factors")
        return
    if wish.name in specs:
        raise wish.refused("there is a factor of this name already")
    for name in wish.uses:
        if name not in spec.depends_on:
            raise wish.refused(f"{wish.factor} does not depend on {name}")


def _wishes(setting: str) -> list[Wish]:
    if not setting.strip():
        return []
    try:
        document = json.loads(setting)
    except ValueError as error:
        raise FactorsRefused(f"factor_instance_refused: the setting is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise FactorsRefused("factor_instance_refused: the setting is no JSON object")
    return [_wish(name, entry) for name, entry in document.items()]


def _wish(name: str, entry: Any) -> Wish:
    wish = Wish(name, name, {}, "", {})
    if not isinstance(entry, dict):
        raise wish.refused("its value is no JSON object")
    unknown = sorted(set(entry) - FIELDS)
    if unknown:
        raise wish.refused(f"there is no field {unknown[0]}; there are {', '.join(sorted(FIELDS))}")
    for field, kind in (("factor", str), ("label", str), ("parameters", dict), ("uses", dict)):
        if not isinstance(entry.get(field, kind()), kind):
            raise wish.refused(f"{field} is of another kind")
    return Wish(
        name,
        entry.get("factor", name),
        entry.get("parameters", {}),
        entry.get("label", ""),
        entry.get("uses", {}),
    )
