"""The engine that takes factor ledger entries through all renderers.

The drawings after a candle depend on nothing but the factor ledger so far: not on how candles were
grouped, and not on which saved state a worker continued from.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from factors.domain.values import Event, Payload, ReadCandles, StateError, StepResult
from market.domain.timeframe import Timeframe
from overlays.domain.instruction import (
    LINE,
    POINT,
    WITHDRAWN,
    Change,
    Definition,
    Kind,
    feature_of,
)

STATE_FORMAT = 1
WINDOW_CANDLES = 2000


class Setup(NamedTuple):
    """What a renderer's state is made from: timeframe, and how many candles drawings reach back."""

    timeframe: Timeframe
    window_candles: int = WINDOW_CANDLES

    def cutoff(self, time: int) -> int:
        """The earliest open time inside the window that ends with the candle at `time`."""
        return max(0, time - self.window_candles * self.timeframe.seconds)


class FactorStep(NamedTuple):
    """What one closed candle added to the factor ledger.

    `time` is its open time, `events` are in ledger order, `heads` those that changed, by factor.
    `read` returns stored candles up to `time`.
    """

    time: int
    events: Sequence[Event]
    heads: Mapping[str, Payload]
    read: ReadCandles

    def payloads(self, kind: str) -> list[Payload]:
        """The payloads of this candle's events of one kind."""
        return [event.payload for event in self.events if event.kind == kind]

    @staticmethod
    def of(result: StepResult, read: ReadCandles) -> FactorStep:
        """The step with this result of the factor engine."""
        time, events, heads = result
        return FactorStep(time, events, {head.factor: head.head for head in heads}, read)


@dataclass(slots=True)
class Sheet:
    """What is drawn and may still change, by instruction id, and what one candle changed.

    `time` is the open time of the candle that is drawn. `texts` caches drawings as JSON: most are
    the same from one dump to the next.
    """

    drawn: dict[str, Definition] = field(default_factory=dict)
    changed: list[tuple[str, Kind, Definition]] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    time: int = -1

    def add(self, instruction_id: str, definition: Definition) -> None:
        """Draw something that will never change."""
        self.changed.append((instruction_id, definition["type"], definition))

    def draw(self, instruction_id: str, definition: Definition) -> None:
        """Draw something that may change; no new version if it is drawn like this already."""
        if self.drawn.get(instruction_id) != definition:
            self.drawn[instruction_id] = definition
            self.texts.pop(instruction_id, None)
            self.add(instruction_id, definition)

    def extend(self, instruction_id: str, look: Definition, value: float) -> None:
        """Give a line a point at this candle; the line begins with its first point.

        `look` is made by `line`. Raises ValueError for a value that is not finite, and for a
        second point at one candle.
        """
        if not math.isfinite(value):
            raise ValueError(f"{instruction_id} has no point at {value}")
        if any(name == instruction_id and kind == POINT for name, kind, _ in self.changed):
            raise ValueError(f"{instruction_id} has a point at this candle already")
        drawn = self.drawn.get(instruction_id)
        start = self.time if drawn is None else drawn["start"]
        # The version comes before its points: a client drops those it has from that time on.
        self.draw(instruction_id, {**look, "start": start})
        self.changed.append((instruction_id, POINT, {"value": value}))

    def end(self, instruction_id: str) -> None:
        """Never give a line a point again; what is drawn of it stays."""
        drawn = self.settle(instruction_id)
        if drawn is not None:
            self.add(instruction_id, {**drawn, "end": self.time})

    def withdraw(self, instruction_id: str) -> None:
        """Withdraw a drawing, if it is there."""
        definition = self.settle(instruction_id)
        if definition is not None:
            self.changed.append((instruction_id, definition["type"], WITHDRAWN))

    def settle(self, instruction_id: str) -> Definition | None:
        """Never change a drawing again; return it."""
        self.texts.pop(instruction_id, None)
        return self.drawn.pop(instruction_id, None)

    def replace(self, factor: str, drawings: Mapping[str, Definition]) -> None:
        """Make these the factor's only drawings, of those that may still change; lines aside."""
        own = [
            name
            for name, drawn in self.drawn.items()
            if name.startswith(f"{factor}.") and drawn["type"] != LINE
        ]
        for instruction_id in own:
            if instruction_id not in drawings:
                self.withdraw(instruction_id)
        for instruction_id, definition in drawings.items():
            self.draw(instruction_id, definition)

    def take(self, time: int, rank: Mapping[str, int]) -> list[Change]:
        """The changes since the last call: features in the order of `rank`, others last."""
        changed = [Change(name, kind, time, new) for name, kind, new in self.changed]
        self.changed.clear()
        last = len(rank)
        changed.sort(key=lambda change: rank.get(feature_of(change.instruction_id), last))
        return changed

    def as_text(self) -> str:
        """The drawings as a JSON object."""
        texts = self.texts
        for name, definition in self.drawn.items():
            if name not in texts:
                texts[name] = f"{_json(name)}:{_json(definition)}"
        return "{" + ",".join([texts[name] for name in self.drawn]) + "}"


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def nothing(_: Any) -> None:
    """The state of a renderer that keeps none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RendererSpec:
    """How one factor is drawn.

    `initial` makes the state before the first candle, `step` takes one candle's facts into it and
    draws. `freeze` turns a state into JSON values, `thaw` turns them back.

    `version` must grow whenever the same facts would give other drawings. With `every_candle`,
    `step` is also called for candles without facts: time alone changes a drawing. `package` is the
    package, with its version, that a renderer from outside comes from.
    """

    factor: str
    version: int
    features: tuple[str, ...]
    every_candle: bool = False
    initial: Callable[[Setup], Any] = nothing
    step: Callable[[Any, FactorStep, Sheet], None]
    freeze: Callable[[Any], Any] = nothing
    thaw: Callable[[Any, Setup], Any] = lambda _, __: None
    package: str = ""


@dataclass(slots=True)
class OverlayState:
    """The drawings of one series. A step changes it in place.

    After an exception or a rolled back transaction it must be discarded and restored.
    """

    setup: Setup
    states: Mapping[str, Any]
    sheet: Sheet = field(default_factory=Sheet)
    head_time: int = -1


class OverlayEngine:
    """All renderers of a list; holds no state, serves every series.

    `order` names the features whose changes come first in a candle's changes, and in what order.
    """

    def __init__(
        self,
        renderers: Iterable[RendererSpec],
        order: Sequence[str] = (),
        *,
        window_candles: int = WINDOW_CANDLES,
    ) -> None:
        self.renderers = tuple(renderers)
        self.window_candles = window_candles
        self._timed = tuple(spec for spec in self.renderers if spec.every_candle)
        self._rank = {feature: position for position, feature in enumerate(order)}
        self.fingerprint = self._fingerprint(order)

    def initial(self, timeframe: Timeframe) -> OverlayState:
        """The state of a series before its first candle."""
        setup = Setup(timeframe, self.window_candles)
        return OverlayState(setup, {spec.factor: spec.initial(setup) for spec in self.renderers})

    def step(self, state: OverlayState, new: FactorStep) -> Sequence[Change]:
        """Take the next candle's facts; return the new versions of draw instructions.

        Amortised constant work. `new.read` is called only in the rare case that the anchor's
        candidate differs from both strokes of the pen's head. Raises ValueError for a candle that
        is not after the newest one taken.
        """
        if new.time <= state.head_time:
            raise ValueError(f"candle {new.time} is not after {state.head_time}")
        state.head_time = state.sheet.time = new.time
        without_facts = not new.events and not new.heads
        for spec in self._timed if without_facts else self.renderers:
            spec.step(state.states[spec.factor], new, state.sheet)
        return state.sheet.take(new.time, self._rank) if state.sheet.changed else ()

    def dump(self, state: OverlayState) -> bytes:
        """The state as bytes for `restore` of the same engine."""
        document = {
            "format": STATE_FORMAT,
            "fingerprint": self.fingerprint,
            "timeframe": state.setup.timeframe.text,
            "head_time": state.head_time,
            "states": {
                spec.factor: spec.freeze(state.states[spec.factor]) for spec in self.renderers
            },
        }
        return f'{_json(document)[:-1]},"drawn":{state.sheet.as_text()}}}'.encode()

    def restore(self, data: bytes, read: ReadCandles) -> OverlayState:
        """The state that was dumped; it continues exactly like the original.

        Renderers keep all they need in their states, so no candles are read. Raises StateError
        for bytes of another format, of other renderers or of another window.
        """
        document = self._document(data)
        setup = Setup(Timeframe.parse(document["timeframe"]), self.window_candles)
        saved = document["states"]
        states = {spec.factor: spec.thaw(saved[spec.factor], setup) for spec in self.renderers}
        return OverlayState(setup, states, Sheet(document["drawn"]), document["head_time"])

    def _document(self, data: bytes) -> dict[str, Any]:
        try:
            document: dict[str, Any] = json.loads(data)
        except ValueError as error:
            raise StateError("the saved overlay state is not readable") from error
        if document.get("format") != STATE_FORMAT:
            raise StateError("the saved overlay state has another format")
        if document["fingerprint"] != self.fingerprint:
            raise StateError("the saved overlay state comes from other renderers")
        return document

    def _fingerprint(self, order: Sequence[str]) -> str:
        """A digest of everything except the factor ledger that determines the drawings."""
        logic = [
            [spec.factor, spec.version, spec.features, *([spec.package] if spec.package else [])]
            for spec in self.renderers
        ]
        text = json.dumps([STATE_FORMAT, logic, list(order), self.window_candles])
        return hashlib.sha256(text.encode()).hexdigest()
