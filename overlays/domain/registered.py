"""The renderers of an installation: one for each factor that has something to show."""

from __future__ import annotations

from dataclasses import replace

from factors.domain.foreign import (
    RENDERERS_GROUP,
    allowed_names,
    found_in,
    load,
    refused,
    require_own_names,
)
from factors.domain.graph import FactorSpec
from factors.domain.registered import Registered
from overlays.domain.all_renderers import RENDERERS
from overlays.domain.instances import renderer_instance
from overlays.domain.renderer import RendererSpec


def registered_renderers(known: Registered, *, foreign: str = "") -> tuple[RendererSpec, ...]:
    """Load the renderers of the factors that are registered; `foreign` is as for these.

    Raises FactorsRefused, with nothing loaded.
    """
    specs = {spec.factor: spec for spec in RENDERERS}
    allowed = allowed_names(foreign)
    found = {each.name: each for each in found_in(RENDERERS_GROUP, allowed)}
    for name, each in found.items():
        if name in specs:
            raise each.refused("there is a renderer of this name already")
        if name not in known.foreign:
            raise each.refused("there is no factor of this name")
        spec = load(each, RendererSpec, lambda spec: spec.factor)
        require_own_names(each, spec.features)
        specs[name] = replace(spec, package=each.package)
    for factor in known.factors:
        if factor.name in known.foreign:
            _require_drawn(factor, specs.get(factor.name))
    for naming in known.instances:
        if naming.factor in specs:
            specs[naming.name] = renderer_instance(specs[naming.factor], naming)
    return tuple(specs.values())


def _require_drawn(factor: FactorSpec, renderer: RendererSpec | None) -> None:
    """Raise FactorsRefused for a factor whose features are not those that are drawn."""
    declared = {feature.key for feature in factor.features}
    drawn = set() if renderer is None else set(renderer.features)
    for names, reason in (
        (declared - drawn, f"no renderer in {RENDERERS_GROUP} draws"),
        (drawn - declared, "the factor does not declare what its renderer draws:"),
    ):
        if names:
            raise refused(factor.name, factor.package, f"{reason} {', '.join(sorted(names))}")
