"""The engine that takes closed candles through all factors.

A result depends on nothing but the candles so far and the parameters: not on how candles were
grouped, and not on which saved state a worker continued from.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from factors.domain.graph import FactorSpec, in_order
from factors.domain.values import (
    Event,
    Head,
    Outcome,
    PastCandles,
    ReadCandles,
    Setup,
    StateError,
    StepResult,
)
from market.domain.candle import Candle
from market.domain.timeframe import Timeframe

STATE_FORMAT = 1

Part = tuple[
    str, Callable[[Any, Candle, Mapping[str, Any]], Outcome | None], Any, Mapping[str, Any]
]


class CandleOrderError(ValueError):
    """A candle at or before the newest one the state has taken."""


@dataclass(slots=True)
class EngineState:
    """The states of all factors for one series. A step changes it in place.

    `head_time` is the open time of the newest candle taken, `count` how many were taken. After an
    exception or a rolled back transaction it must be discarded and restored.
    """

    timeframe: Timeframe
    states: Mapping[str, Any]
    parts: tuple[Part, ...]
    head_time: int = -1
    count: int = 0


class Engine:
    """All the given factors with their parameters; holds no state, serves every series.

    `parameters` replaces factors' defaults by factor name. `salt` is free text that takes part in
    the fingerprint. Raises GraphError for factors that can't be put in order.
    """

    def __init__(
        self,
        registry: Iterable[FactorSpec],
        parameters: Mapping[str, Any] | None = None,
        *,
        salt: str = "",
    ) -> None:
        self.factors = in_order(registry)
        defaults = {spec.name: spec.parameters for spec in self.factors}
        unknown = sorted(set(parameters or ()) - set(defaults))
        if unknown:
            raise ValueError(f"parameters of unknown factors: {', '.join(unknown)}")
        self.parameters: Mapping[str, Any] = {**defaults, **(parameters or {})}
        self._salt = salt
        self.fingerprint = self._fingerprint(salt)

    def with_parameters(self, changed: Mapping[str, Any]) -> Engine:
        """The same factors with some parameters replaced, by factor name."""
        return Engine(self.factors, {**self.parameters, **changed}, salt=self._salt)

    def initial(self, timeframe: Timeframe) -> EngineState:
        """The state of a series before its first candle."""
        setup = Setup(self.parameters, timeframe)
        return self._state(timeframe, {spec.name: spec.initial(setup) for spec in self.factors})

    def step(self, state: EngineState, candle: Candle) -> StepResult:
        """Take the next closed candle: amortised constant work, however long the history.

        Raises CandleOrderError, and StateError when candles that must be read again have changed.
        """
        time = candle.candle_time
        if time <= state.head_time:
            raise CandleOrderError(f"candle {time} is not after {state.head_time}")
        state.head_time = time
        state.count += 1
        events: list[Event] = []
        heads: list[Head] = []
        for name, step, own, upstream in state.parts:
            outcome = step(own, candle, upstream)
            if outcome is not None:
                events += outcome.events
                if outcome.head is not None:
                    heads.append(Head(name, time, outcome.head))
        # Most candles give nothing: then no empty lists are kept for them.
        return StepResult(time, events or (), heads or ())

    def fold(self, state: EngineState, candles: Iterable[Candle]) -> Iterator[StepResult]:
        """Step through ascending candles, one result a candle."""
        for candle in candles:
            yield self.step(state, candle)

    def dump(self, state: EngineState) -> bytes:
        """The state as bytes for `restore` of the same engine."""
        document = {
            "format": STATE_FORMAT,
            "fingerprint": self.fingerprint,
            "timeframe": state.timeframe.text,
            "head_time": state.head_time,
            "count": state.count,
            "factors": {spec.name: spec.freeze(state.states[spec.name]) for spec in self.factors},
        }
        return json.dumps(document, separators=(",", ":"), allow_nan=False).encode()

    def restore(self, data: bytes, read: ReadCandles) -> EngineState:
        """The state that was dumped; it continues exactly like the original.

        `read` returns stored candles between two open times; it is called at most once, with times
        up to the head, when the first major pivot needs the closes of older ones. Raises
        StateError for bytes of another format, logic or parameters.
        """
        document = self._document(data)
        timeframe = Timeframe.parse(document["timeframe"])
        setup = Setup(self.parameters, timeframe)
        past = PastCandles(read, document["head_time"])
        saved = document["factors"]
        states = {spec.name: spec.thaw(saved[spec.name], setup, past) for spec in self.factors}
        state = self._state(timeframe, states)
        state.head_time, state.count = document["head_time"], document["count"]
        return state

    def reads_from(self, state: EngineState) -> int | None:
        """The open time from which on a restored state may read candles; None: it reads none."""
        times = [spec.reads_from(state.states[spec.name]) for spec in self.factors]
        return min((time for time in times if time is not None), default=None)

    def _document(self, data: bytes) -> dict[str, Any]:
        try:
            document: dict[str, Any] = json.loads(data)
        except ValueError as error:
            raise StateError("the saved state is not readable") from error
        if document.get("format") != STATE_FORMAT:
            raise StateError("the saved state has another format")
        if document["fingerprint"] != self.fingerprint:
            raise StateError("the saved state comes from other logic or parameters")
        return document

    def _state(self, timeframe: Timeframe, states: Mapping[str, Any]) -> EngineState:
        parts = tuple(
            (
                spec.name,
                spec.step,
                states[spec.name],
                {name: states[name] for name in spec.depends_on},
            )
            for spec in self.factors
        )
        return EngineState(timeframe, states, parts)

    def _fingerprint(self, salt: str) -> str:
        """A digest of everything except candles that determines the facts."""
        # Of the project's own factors only the first three: their fingerprint stays what it was.
        logic = [
            [
                *(spec.name, spec.version, spec.depends_on),
                *(each for each in (spec.package, spec.instance_of) if each),
            ]
            for spec in self.factors
        ]
        parameters = {
            name: None if value is None else asdict(value)
            for name, value in self.parameters.items()
        }
        document = {"logic": logic, "parameters": parameters, "salt": salt}
        text = json.dumps(document, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()
