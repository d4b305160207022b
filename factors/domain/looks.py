"""How clients show the parts of a factor, beyond what each draw instruction has itself.

It is part of the catalog only: changing a look changes no fact and no drawing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

CHINESE = "zh-CN"

Ink = str
"""A CSS colour, or the name of an ink, which each theme shows in its own shade (docs/drawings.md).
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a client does with drawings of a feature; what is not set is left to the instruction.

    `color`, `width` (pixels) and `dashed` replace those of the instruction; `opacity` (0 to 1) is
    of its lines, `fill_opacity` of its areas. `area` names two id endings: the lines of one feature
    whose ids differ only in them are the upper and lower edge of an area, which is filled. `layer`:
    below 0 under the candles, above 0 over everything else, higher ones last. `halo` gives lines a
    light edge. `unclipped` lines are drawn beyond the loaded candles. `to_axis` draws a line that
    extends right up to the price axis, and `name` stands there with the price.

    `momentary` drawings are valid at the newest candle only, and left out of what is shown of older
    ones. `chained` lines of one id continue each other from one stretch of history to the next.
    """

    color: Ink | None = None
    width: float | None = None
    opacity: float | None = None
    dashed: bool = False
    fill_opacity: float | None = None
    area: tuple[str, str] | None = None
    layer: int = 0
    halo: bool = False
    unclipped: bool = False
    to_axis: bool = False
    name: str | None = None
    momentary: bool = False
    chained: bool = False

    def as_object(self) -> dict[str, Any]:
        """What is set, as the catalog shows it."""
        values = ((field.name, getattr(self, field.name), field.default) for field in fields(self))
        return {name: value for name, value, default in values if value != default}


@dataclass(frozen=True, slots=True)
class Words:
    """A label and a sentence about what it names, in one language."""

    label: str
    description: str = ""

    def as_object(self) -> dict[str, str]:
        """As the catalog shows it."""
        description = {"description": self.description} if self.description else {}
        return {"label": self.label, **description}


def translated(translations: Mapping[str, Words]) -> dict[str, Any]:
    """Words by language, as the catalog shows them."""
    return {language: each.as_object() for language, each in translations.items()}
