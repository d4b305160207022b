"""The drawings of an instance of a factor: its renderer, under the names of the instance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from factors.domain.instances import Naming
from factors.domain.values import Event
from overlays.domain.instruction import Definition
from overlays.domain.renderer import FactorStep, RendererSpec, Sheet


class InstanceSheet(Sheet):
    """A sheet on which a renderer draws under the names of its instance.

    Methods of Sheet call each other, so a name that is an outer one already stays.
    """

    def __init__(self, sheet: Sheet, naming: Naming) -> None:
        super().__init__(sheet.drawn, sheet.changed, sheet.texts, sheet.time)
        self._naming = naming

    def add(self, instruction_id: str, definition: Definition) -> None:
        super().add(self._own(instruction_id), self._definition(definition))

    def draw(self, instruction_id: str, definition: Definition) -> None:
        super().draw(self._own(instruction_id), self._definition(definition))

    def extend(self, instruction_id: str, look: Definition, value: float) -> None:
        super().extend(self._own(instruction_id), self._definition(look), value)

    def settle(self, instruction_id: str) -> Definition | None:
        return super().settle(self._own(instruction_id))

    def end(self, instruction_id: str) -> None:
        super().end(self._own(instruction_id))

    def withdraw(self, instruction_id: str) -> None:
        super().withdraw(self._own(instruction_id))

    def replace(self, factor: str, drawings: Mapping[str, Definition]) -> None:
        own = {self._own(name): self._definition(each) for name, each in drawings.items()}
        super().replace(self._naming.name, own)

    def _own(self, instruction_id: str) -> str:
        if instruction_id.startswith(f"{self._naming.name}."):
            return instruction_id
        if not instruction_id.startswith(f"{self._naming.factor}."):
            raise ValueError(f"{instruction_id} does not begin with {self._naming.factor}.")
        return self._naming.outer(instruction_id)

    def _definition(self, definition: Definition) -> Definition:
        feature = definition.get("feature", "")
        if not feature.startswith(f"{self._naming.factor}."):
            return definition
        return {**definition, "feature": self._naming.outer(feature)}


def renderer_instance(spec: RendererSpec, naming: Naming) -> RendererSpec:
    """The renderer for an instance of its factor."""

    def step(state: Any, new: FactorStep, sheet: Sheet) -> None:
        spec.step(state, _seen(new, naming), InstanceSheet(sheet, naming))

    return replace(
        spec,
        factor=naming.name,
        features=tuple(map(naming.outer, spec.features)),
        step=step,
    )


def _seen(new: FactorStep, naming: Naming) -> FactorStep:
    """The candle's facts under the names that the renderer knows."""
    events = []
    for event in new.events:
        factor, kind = naming.inner(event.factor), naming.inner(event.kind)
        if factor is not None and kind is not None:
            events.append(Event(factor, kind, event.candle_time, event.event_key, event.payload))
    heads = {
        inner: head for name, head in new.heads.items() if (inner := naming.inner(name)) is not None
    }
    return FactorStep(new.time, events, heads, new.read)
