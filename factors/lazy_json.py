"""JSON objects that are parsed only when a field is read.

Most of what a read returns goes from the table to the client unparsed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson


class LazyObject(Mapping[str, Any]):
    """A mapping over the text of a JSON object that `orjson.dumps` wrote."""

    __slots__ = ("_fields", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._fields: dict[str, Any] | None = None

    def __getitem__(self, name: str) -> Any:
        return self._parsed()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parsed())

    def __len__(self) -> int:
        return len(self._parsed())

    def __repr__(self) -> str:
        return repr(self._parsed())

    def _parsed(self) -> dict[str, Any]:
        if self._fields is None:
            self._fields = orjson.loads(self.text)
        return self._fields


def as_json(answer: Any) -> bytes:
    """The body of an answer; the text of lazy objects is inserted unchanged."""
    return orjson.dumps(answer, default=_fragment)


def _fragment(value: Any) -> orjson.Fragment:
    if isinstance(value, LazyObject):
        return orjson.Fragment(value.text)
    raise TypeError(f"no JSON for {type(value).__name__}")
