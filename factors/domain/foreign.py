"""Factors and renderers of other packages, found by their entry points.

A package names its factor in the group `trade_canvas.factors`, its renderer in
`trade_canvas.renderers`, both under the factor's name. Only what the operator allows is imported.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from importlib import metadata
from typing import NamedTuple, TypeVar

FACTORS_GROUP = "trade_canvas.factors"
RENDERERS_GROUP = "trade_canvas.renderers"

EVERY = "*"
NAME = re.compile(r"[a-z][a-z0-9_]*")
OWN_NAME = re.compile(r"[a-z][a-z0-9_]*(\.\w+)+")

Spec = TypeVar("Spec")


class FactorsRefused(Exception):
    """Factors that must not be loaded; the message is one line for the operator."""


def refused(name: str, package: str, reason: str) -> FactorsRefused:
    """The error that names a factor, its package and the reason."""
    line = " ".join(reason.split())
    return FactorsRefused(f"foreign_factor_refused: {name} of {package}: {line}")


class Found(NamedTuple):
    """An allowed entry point: the factor's name, and its package with the version."""

    entry: metadata.EntryPoint
    name: str
    package: str

    def refused(self, reason: str) -> FactorsRefused:
        """The error that names it."""
        return refused(self.name, self.package, f"{self.entry.group}: {reason}")


def allowed_names(text: str) -> frozenset[str]:
    """The names in a setting, separated by commas; `*` allows all."""
    return frozenset(name for each in text.split(",") if (name := each.strip()))


def found_in(group: str, allowed: Collection[str]) -> list[Found]:
    """The allowed entry points of installed packages, ascending by name.

    Raises FactorsRefused for a name that two packages have.
    """
    if not allowed:
        return []
    entries = {
        (entry.name, _package(entry), entry.value): Found(entry, entry.name, _package(entry))
        for entry in metadata.entry_points(group=group)
        if EVERY in allowed or entry.name in allowed
    }
    found = [entries[key] for key in sorted(entries)]
    for one, next_one in zip(found, found[1:], strict=False):
        if one.name == next_one.name:
            raise next_one.refused(f"{one.package} has a factor of this name, too")
    return found


def load(found: Found, kind: type[Spec], name_of: Callable[[Spec], str]) -> Spec:
    """Import what an entry point names; raises FactorsRefused if it is not such a spec."""
    if not NAME.fullmatch(found.name):
        raise found.refused("its name is not lower case letters, digits and underscores")
    try:
        spec = found.entry.load()
    except Exception as error:
        raise found.refused(f"{type(error).__name__}: {error}") from error
    if not isinstance(spec, kind):
        raise found.refused(f"{found.entry.value} is no {kind.__name__}")
    if name_of(spec) != found.name:
        raise found.refused(f"{found.entry.value} is named {name_of(spec)}")
    return spec


def require_own_names(found: Found, names: Sequence[str]) -> None:
    """Raise FactorsRefused for names of features or kinds that could be another factor's."""
    for name in names:
        if not OWN_NAME.fullmatch(name) or not name.startswith(f"{found.name}."):
            raise found.refused(f"{name} is not {found.name}, a dot and a word")


def _package(entry: metadata.EntryPoint) -> str:
    return "an unnamed package" if entry.dist is None else f"{entry.dist.name} {entry.dist.version}"
