"""The overlay stage: draws the facts of every batch into the overlay ledger."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from time import perf_counter

from factors import runtime as factors
from factors.domain.checkpoints import EVERY
from factors.domain.ledger import FactorLedger, FactorUpdate, Position
from factors.domain.values import Event, Head, StepResult
from factors.engine_states import Logic, Run
from factors.ledger_stage import AT_ONCE, LedgerStage
from factors.stage import Replayed
from factors.stored_candles import CandlesAhead, StoredCandles
from market.debug_events import emit, is_on, milliseconds_since
from market.domain.change import Change, Notice, Results
from market.domain.series import SeriesId
from market.domain.store import CandleStore, SeriesWriter
from market.runtime import candle_store
from overlays import runtime
from overlays.domain.instruction import MARKER, POLYLINE
from overlays.domain.instruction import Change as Drawn
from overlays.domain.ledger import OverlayLedger
from overlays.domain.pen import CONFIRMED as PENS
from overlays.domain.renderer import FactorStep, OverlayEngine, OverlayState

OverlayLogic = Logic[OverlayState, FactorStep, Sequence[Drawn]]

PAGE = 2000


@dataclass(frozen=True, slots=True)
class Redraw:
    """A request to redraw a series from the candle at `from_time` on.

    Without a time: to bring the drawings up to the factor ledger.
    """

    from_time: int | None = None


@dataclass(frozen=True, slots=True)
class FactorInput:
    """The steps of the factor ledger as the batch leaves it; implements StageInput."""

    change: Change
    candles: StoredCandles
    ledger: FactorLedger
    update: FactorUpdate
    request: Redraw | None
    engine: OverlayEngine
    fingerprint_of: Callable[[str], str]

    def logic(self, known: Position | None) -> OverlayLogic:
        """The one engine; the drawings come from the facts that the factor stage computed."""
        return Logic(self.engine, self.fingerprint_of(self.update.fingerprint))

    @property
    def is_requested(self) -> bool:
        """Whether the batch is a redraw that was asked for."""
        return self.request is not None

    @property
    def stale_from(self) -> int | None:
        """From which time on facts or candles changed, or a redraw was asked for."""
        requested = None if self.request is None else self.request.from_time
        times = (self.update.dropped_from, self.change.revised_from, requested)
        return min((time for time in times if time is not None), default=None)

    def fresh(self) -> Sequence[FactorStep]:
        """The steps that the factor stage added with this batch."""
        return [FactorStep.of(step, self.candles.between) for step in self.update.steps]

    def between(self, after: int, end: int) -> Iterator[FactorStep]:
        """The steps of the candles later than `after` up to `end`, also of those without facts.

        Those of the batch come from the factor stage, older ones from the factor ledger.
        """
        own, read = self.update.steps, self.candles.between
        first = own[0].candle_time if own else self.update.head_time + 1
        for step in self._stored(after, min(end, first - 1)):
            yield FactorStep.of(step, read)
        for step in own:
            if after < step.candle_time <= end:
                yield FactorStep.of(step, read)

    def missing(self, reached: int, at_once: int) -> Sequence[FactorStep]:
        """The first steps after `reached`, at least as many as the batch added."""
        most = max(at_once, len(self.update.steps))
        return list(islice(self.between(reached, self.update.head_time), most))

    def _stored(self, after: int, end: int) -> Iterator[StepResult]:
        series = self.change.series
        while after < end:
            page = [each for each in self.candles.after(after, PAGE) if each.candle_time <= end]
            if not page:
                return
            first, after = page[0].candle_time, page[-1].candle_time
            events: defaultdict[int, list[Event]] = defaultdict(list)
            heads: defaultdict[int, list[Head]] = defaultdict(list)
            for event in self.ledger.events(series, first, after):
                events[event.candle_time].append(event)
            for head in self.ledger.heads(series, first, after):
                heads[head.candle_time].append(head)
            for time, *_ in page:
                yield StepResult(time, events.get(time, ()), heads.get(time, ()))


class OverlayStage:
    """Brings the overlay ledger up to the factor ledger; does nothing without the factor stage."""

    name = "overlay.ingest_closed"

    def __init__(
        self,
        ledger: OverlayLedger | None = None,
        *,
        engine: OverlayEngine | None = None,
        fingerprint_of: Callable[[str], str] | None = None,
        facts: FactorLedger | None = None,
        candles: CandleStore | None = None,
        at_once: int = AT_ONCE,
        every: int = EVERY,
    ) -> None:
        """Take what is not given from this process's runtime.

        `fingerprint_of` returns the fingerprint of drawings by that of the factors.
        """
        self._facts = facts or factors.factor_ledger()
        self._drawings = ledger or runtime.overlay_ledger()
        self._candles = candles or candle_store()
        self._engine = engine or runtime.engine()
        self._fingerprint_of = fingerprint_of or runtime.fingerprint_of
        self._stage: LedgerStage[OverlayState, FactorStep, Sequence[Drawn]] = LedgerStage(
            self._drawings.writing,
            self._candles,
            at_once=at_once,
            every=every,
        )

    def apply(self, writer: SeriesWriter, change: Change) -> Iterable[Notice]:
        """Draw what the factor stage computed. Raises LedgerConflict."""
        update = change.results.get(FactorUpdate)
        if update is not None:
            candles, request = StoredCandles(self._candles, change), change.results.get(Redraw)
            given = FactorInput(
                change,
                candles,
                self._facts,
                update,
                request,
                self._engine,
                self._fingerprint_of,
            )
            started = perf_counter()
            run = self._stage.apply(writer, change, given)
            if is_on():
                done = partial(self._done, change.series, run, milliseconds_since(started))
                writer.on_commit(partial(emit, "write.overlay.ingest_done", change.series, done))
        return []

    def prepare(self, writers: Sequence[SeriesWriter], results: Results) -> None:
        """Bring the engine states of cold series into memory, with one query for all of them.

        Only those of series that the factor stage has prepared: their facts are at hand.
        """
        replayed = results.get(Replayed)
        if replayed is None:
            return
        cold = self._stage.cold(each for each in writers if each.series in replayed.of)
        for series, saved in self._drawings.saved(cold).items():
            facts, at = replayed.of[series], saved.position
            fingerprint = self._fingerprint_of(facts.at.fingerprint)
            if at != facts.at._replace(fingerprint=fingerprint):
                continue
            read = CandlesAhead(self._candles, series).between
            logic = Logic(self._engine, fingerprint)
            run = self._stage.begun(logic, saved, series.timeframe, read)
            if run is not None and run.head_time >= facts.after:
                missing = [step for step in facts.steps if step.candle_time > run.head_time]
                steps = [FactorStep.of(step, read) for step in missing]
                self._stage.resume(run, steps, at, cold[series])

    def _done(
        self,
        series: SeriesId,
        run: Run[OverlayState, FactorStep, Sequence[Drawn]],
        duration_ms: float,
    ) -> dict[str, object]:
        """What the debug event of a run has."""
        kinds = Counter(drawn.kind for step in run.entries for drawn in step)
        reach = self._engine.window_candles * series.timeframe.seconds
        return {
            "up_to_candle_time": run.head_time,
            "cutoff_time": max(0, run.head_time - reach),
            "factor_rows": len(run.entries),
            "marker_defs": kinds[MARKER],
            "pen_points": len(run.state.sheet.drawn.get(PENS, {}).get("points", ())),
            "polyline_defs": kinds[POLYLINE],
            "versions": kinds,
            "db_changes": kinds.total(),
            "duration_ms": duration_ms,
        }
