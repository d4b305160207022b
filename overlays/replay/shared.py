"""Objects that a file has once, however often they occur in it.

One snapshot of levels repeats most of the one before, so rows of factors name their objects by a
number, `{"$": number}`, in a list beside them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

REFERENCE = "$"

# A smaller object takes hardly more than its number.
LEAST_BYTES = 48


class Shared:
    """The objects of one file, in the order in which they occurred first."""

    def __init__(self) -> None:
        self.objects: list[Any] = []
        self._numbers: dict[bytes, int] = {}

    def put(self, value: Any) -> Any:
        """A value with numbers in place of its objects."""
        if isinstance(value, Mapping):
            content = {name: self.put(part) for name, part in value.items()}
            text = orjson.dumps(content)
            if len(text) < LEAST_BYTES and list(content) != [REFERENCE]:
                return content
            number = self._numbers.setdefault(text, len(self.objects))
            if number == len(self.objects):
                self.objects.append(content)
            return {REFERENCE: number}
        if isinstance(value, Sequence) and not isinstance(value, str):
            return [self.put(part) for part in value]
        return value


def restored(objects: Sequence[Any], value: Any) -> Any:
    """The value of which `put` made this, and `objects`."""
    whole: list[Any] = []
    for each in objects:
        # An object names only those before it.
        whole.append({name: _restored(whole, part) for name, part in each.items()})
    return _restored(whole, value)


def _restored(whole: Sequence[Any], value: Any) -> Any:
    if isinstance(value, dict):
        if len(value) == 1 and REFERENCE in value:
            return whole[value[REFERENCE]]
        return {name: _restored(whole, part) for name, part in value.items()}
    if isinstance(value, list):
        return [_restored(whole, part) for part in value]
    return value
