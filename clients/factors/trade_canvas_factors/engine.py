"""The engine: candles in, facts, heads and drawings out, in one call or candle by candle."""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from operator import attrgetter
from typing import Any, NamedTuple

from factors.domain import engine as factor_engine
from factors.domain.all_factors import FACTORS
from factors.domain.features import FeatureTable, feature_rows
from factors.domain.graph import FactorSpec
from factors.domain.parameters import ParameterError, with_values
from factors.domain.registered import registered
from factors.domain.slices import head_at, window_start
from factors.domain.values import Event, Head, Payload
from market.domain.candle import Candle
from market.domain.timeframe import Timeframe
from overlays.domain.all_renderers import DRAWING_ORDER, RENDERERS
from overlays.domain.delta import draw_delta
from overlays.domain.instruction import Change, Definition, Kind, Point, feature_of
from overlays.domain.registered import registered_renderers
from overlays.domain.renderer import WINDOW_CANDLES, FactorStep, OverlayEngine, RendererSpec
from overlays.domain.versions import SeriesVersions
from trade_canvas_factors.candles import candle_of, candles_of
from trade_canvas_factors.server_names import use_server_names

HeadValue = Callable[[Payload, Candle], Any]
"""A value of a head at a candle, such as those in trade_canvas_factors.heads."""


class Step(NamedTuple):
    """What one candle added: facts, heads that changed, and new versions of drawings."""

    candle_time: int
    events: Sequence[Event]
    heads: Sequence[Head]
    drawings: Sequence[Change]


class Drawing(NamedTuple):
    """A draw instruction as it stands at one candle; `points` are those of a `line`."""

    id: str
    feature: str
    kind: Kind
    definition: Definition
    points: Sequence[Point]


class Engine:
    """Factors and their drawings for one timeframe; holds no state of a run.

    `parameters` replaces defaults by factor: ``{"pivot": {"window_major": 20}}``, or a parameter
    object of the factor. `renderers` empty: nothing is drawn, which saves half the time. Drawings
    reach `window_candles` back. Raises ValueError for unknown factors and parameters.
    """

    def __init__(
        self,
        timeframe: str | Timeframe,
        *,
        parameters: Mapping[str, Any] | None = None,
        factors: Iterable[FactorSpec] = FACTORS,
        renderers: Iterable[RendererSpec] = RENDERERS,
        window_candles: int = WINDOW_CANDLES,
    ) -> None:
        self.timeframe = Timeframe.parse(timeframe) if isinstance(timeframe, str) else timeframe
        specs = tuple(factors)
        self.factors = factor_engine.Engine(specs, _parameters(specs, parameters or {}))
        known = {spec.name for spec in specs}
        drawn = [spec for spec in renderers if spec.factor in known]
        self.overlays = OverlayEngine(drawn, DRAWING_ORDER, window_candles=window_candles)

    @classmethod
    def installed(
        cls,
        timeframe: str | Timeframe,
        *,
        foreign: str = "",
        instances: Mapping[str, Any] | None = None,
        parameters: Mapping[str, Any] | None = None,
        window_candles: int = WINDOW_CANDLES,
    ) -> Engine:
        """An engine with factors of installed packages, and with instances, as a server has them.

        `foreign` are names separated by commas, or `*`, as in TRADE_CANVAS_FOREIGN_FACTORS;
        `instances` is the object of TRADE_CANVAS_FACTOR_INSTANCES. Raises FactorsRefused for what
        a server would not start with, ValueError for wrong `parameters`, and ImportError as
        `use_server_names` does.
        """
        if foreign:
            use_server_names()
        setting = json.dumps(dict(instances)) if instances else ""
        own = _parameters(FACTORS, parameters or {})
        known = registered(own, foreign=foreign, instances=setting)
        return cls(
            timeframe,
            factors=known.factors,
            renderers=registered_renderers(known, foreign=foreign),
            window_candles=window_candles,
        )

    @property
    def fingerprint(self) -> str:
        """A digest of logic and parameters: the server's, if it computes the same."""
        return self.factors.fingerprint

    def start(self) -> Run:
        """A run before its first candle, to be continued with `Run.step`."""
        return Run(self)

    def run(self, candles: Any) -> Run:
        """Compute a frame or rows of closed candles (see `candles_of`) from the beginning.

        Raises CandlesError.
        """
        run = self.start()
        for candle in candles_of(candles, self.timeframe):
            run.take(candle)
        return run


@dataclass(slots=True)
class Run:
    """The results so far over the candles of one series; `step` continues it.

    `events` are all facts in order. `head_changes` are all heads in order. After an exception a run
    must be discarded.
    """

    engine: Engine
    candles: list[Candle] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    head_changes: list[Head] = field(default_factory=list)
    versions: SeriesVersions = field(default_factory=SeriesVersions)
    _facts: factor_engine.EngineState = field(init=False)
    _drawn: Any = field(init=False)
    _heads: dict[str, Payload] = field(default_factory=dict)
    _numbers: count[int] = field(default_factory=lambda: count(1))

    def __post_init__(self) -> None:
        timeframe = self.engine.timeframe
        self._facts = self.engine.factors.initial(timeframe)
        self._drawn = self.engine.overlays.initial(timeframe)

    def step(self, candle: Any) -> Step:
        """Take the next closed candle: a Candle, a mapping or a row.

        Raises CandlesError, and CandleOrderError for one that is not after the newest.
        """
        return self.take(candle_of(candle, self.engine.timeframe, len(self.candles)))

    def take(self, candle: Candle) -> Step:
        """Take the next candle, which was checked before; raises CandleOrderError."""
        result = self.engine.factors.step(self._facts, candle)
        self.candles.append(candle)
        self.events += result.events
        self.head_changes += result.heads
        self._heads.update({head.factor: head.head for head in result.heads})
        changes: Sequence[Change] = ()
        if self.engine.overlays.renderers:
            new = FactorStep.of(result, self._between)
            changes = self.engine.overlays.step(self._drawn, new)
            for change in changes:
                self.versions.append(next(self._numbers), change)
        return Step(candle.candle_time, result.events, result.heads, changes)

    @property
    def heads(self) -> dict[str, Payload]:
        """Each factor's head at the newest candle; without those that have none yet."""
        if not self.candles:
            return {}
        time = self.candles[-1].candle_time
        specs = (spec for spec in self.engine.factors.factors if spec.name in self._heads)
        found = ((spec.name, head_at(spec, self._heads[spec.name], time)) for spec in specs)
        return {name: head for name, head in found if head is not None}

    def drawings(self, at_time: int | None = None) -> list[Drawing]:
        """What is drawn at a candle (open time), without one at the newest: as the server shows.

        In the order in which the instructions were last changed.
        """
        if not self.candles:
            return []
        time = self.candles[-1].candle_time if at_time is None else at_time
        cutoff = window_start(time, self.engine.overlays.window_candles, self.engine.timeframe)
        delta = draw_delta(self.versions, cursor=0, to_time=time, cutoff=cutoff, fresh_limit=0)
        return [
            Drawing(name, feature_of(name), kind, definition, tuple(delta.points.get(name, ())))
            for _, name, kind, _, definition in delta.patch
        ]

    def event_columns(self) -> dict[str, list[Any]]:
        """All facts as columns, one row each: for `pandas.DataFrame` or `polars.DataFrame`."""
        names = ("candle_time", "factor", "kind", "event_key", "payload")
        return {name: list(map(attrgetter(name), self.events)) for name in names}

    def feature_columns(self, names: Sequence[str] | None = None) -> dict[str, list[Any]]:
        """One row a candle: `candle_time`, and what became visible with it, None for nothing.

        `names` are the columns, in this order; without them those that have a value, as they
        appear. Over a part of the candles there may be fewer: name those that you rely on.
        """
        table = FeatureTable(names)
        for row in feature_rows(map(attrgetter("candle_time"), self.candles), self.events):
            table.add(row)
        return {"candle_time": table.candle_time, **table.columns}

    def head_column(self, factor: str, value: HeadValue) -> list[Any]:
        """A value of a factor's head at each candle; None before its first head.

        Raises KeyError for a factor that the engine does not have.
        """
        spec = {each.name: each for each in self.engine.factors.factors}[factor]
        changes = [change for change in self.head_changes if change.factor == factor]
        found: list[Any] = []
        head, place = None, 0
        for candle in self.candles:
            while place < len(changes) and changes[place].candle_time <= candle.candle_time:
                head, place = changes[place].head, place + 1
            shown = head_at(spec, head, candle.candle_time)
            found.append(None if shown is None else value(shown, candle))
        return found

    def _between(self, start: int, end: int) -> Sequence[Candle]:
        """The candles between two open times, both inclusive."""
        first = bisect_left(self.candles, start, key=attrgetter("candle_time"))
        return self.candles[first : bisect_right(self.candles, end, key=attrgetter("candle_time"))]


def _parameters(specs: Sequence[FactorSpec], given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameter objects of the factors named in `given`; raises ValueError."""
    defaults = {spec.name: spec.parameters for spec in specs}
    unknown = sorted(set(given) - set(defaults))
    if unknown:
        raise ValueError(f"parameters of unknown factors: {', '.join(unknown)}")
    found = {}
    for name, values in given.items():
        if isinstance(values, Mapping):
            try:
                values = with_values(defaults[name], values)
            except ParameterError as error:
                raise ValueError(f"{name}: {error}") from error
        found[name] = values
    return found
