"""The two forms of a stored version: texts in columns, or packed (factors.stores.dense)."""

from __future__ import annotations

from typing import cast

from factors.lazy_json import LazyObject
from factors.stores.dense import packed, unpacked
from overlays.domain.instruction import InstructionVersion, Kind


def version(
    number: int,
    name: str,
    kind: str,
    time: int,
    definition: str,
    data: memoryview | None,
    starts: int | None,
    ends: int | None,
    *_: object,
) -> InstructionVersion:
    """The version of a row in either form."""
    kind, definition = version_texts(name, kind, definition, data, starts, ends)
    return InstructionVersion(number, name, cast(Kind, kind), time, LazyObject(definition))


def dense_version(
    name: str, kind: str, definition: str, starts: int | None, ends: int | None
) -> tuple[str, str, bytes]:
    """The columns kind, definition and data of a dense row."""
    return "", "", packed(f"{kind}\n{definition}", name, starts, ends)


def version_texts(
    name: str,
    kind: str,
    definition: str,
    data: memoryview | None,
    starts: int | None,
    ends: int | None,
) -> tuple[str, str]:
    """Kind and definition of a row in either form."""
    if data is None:
        return kind, definition
    kind, _, definition = unpacked(data, name, starts, ends).partition("\n")
    return kind, definition
