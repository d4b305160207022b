"""Parameters from outside, such as a setting or a form, checked by the factor's own dataclass."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


class ParameterError(ValueError):
    """Values that a factor does not accept; the message is for the operator."""


def with_values(parameters: Any, values: Mapping[str, Any]) -> Any:
    """The parameters with these values in place of theirs; raises ParameterError.

    A value must be of the kind that it replaces; a whole number is also accepted for a number.
    """
    if not values:
        return parameters
    known = [] if parameters is None else [each.name for each in fields(parameters)]
    if not known:
        raise ParameterError("this factor has no parameters")
    for name in values:
        if name not in known:
            raise ParameterError(f"there is no parameter {name}; there are {', '.join(known)}")
    checked = {name: _checked(name, getattr(parameters, name), new) for name, new in values.items()}
    try:
        return replace(parameters, **checked)
    except (TypeError, ValueError) as error:
        raise ParameterError(str(error)) from error


def _checked(name: str, old: Any, new: Any) -> Any:
    kind = type(old)
    if kind is float and type(new) is int:
        new = float(new)
    if kind in KINDS and type(new) is not kind:
        raise ParameterError(f"{name} must be {KINDS[kind]}, not {new!r}")
    if isinstance(new, float) and not math.isfinite(new):
        raise ParameterError(f"{name} must be finite")
    return new
