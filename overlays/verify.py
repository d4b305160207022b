"""Whether both ledgers of a series hold exactly what its candles give, row by row.

Everything is recomputed in memory by the same engines, from nothing that was saved but, after
retention removed candles, the state behind the last of them. A version that only repeats what its
instruction showed already (after a revision) is no difference: clients see none.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

from factors.domain.engine import Engine
from factors.domain.ledger import FactorLedger
from factors.domain.values import StateError, StepResult
from factors.engines import Engines
from market.domain.candle import Candle
from market.domain.series import SeriesId
from market.domain.store import CandleStore, SeriesState
from overlays.domain.instruction import POINT, Change, Definition, InstructionVersion
from overlays.domain.ledger import OverlayLedger
from overlays.domain.renderer import FactorStep, OverlayEngine
from overlays.domain.versions import NEVER, VersionReader

PAGE = 5000
VERSIONS_PAGE = 20_000
# The positions are read again while candles are added; each attempt takes milliseconds.
ATTEMPTS = 10

Row = Any

# Of a row of a version, which is one without its number.
_VISIBLE_TIME = 2


@dataclass(slots=True)
class Comparison:
    """One kind of row: how many there should be and are, their checksums, the first difference."""

    name: str
    expected: int = 0
    found: int = 0
    first_difference: tuple[str | None, str | None] | None = None
    _expected_sum: Any = field(default_factory=hashlib.sha256)
    _found_sum: Any = field(default_factory=hashlib.sha256)

    def add(self, expected: Iterable[Row], found: Iterable[Row]) -> None:
        """Compare the next rows of both sides; a row that only one side has is a difference."""
        for wanted, stored in zip_longest(map(_text, expected), map(_text, found)):
            if wanted is not None:
                self.expected += 1
                self._expected_sum.update(wanted.encode())
            if stored is not None:
                self.found += 1
                self._found_sum.update(stored.encode())
            if wanted != stored and self.first_difference is None:
                self.first_difference = wanted, stored

    @property
    def checksums(self) -> tuple[str, str]:
        """Of the expected rows, and of those found."""
        return self._expected_sum.hexdigest(), self._found_sum.hexdigest()

    @property
    def is_clean(self) -> bool:
        """Whether both sides are the same."""
        return self.first_difference is None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a verification of the candles up to `head_time`."""

    candles: int
    head_time: int | None
    comparisons: Sequence[Comparison]
    was_revised: bool

    @property
    def is_clean(self) -> bool:
        """Whether the ledgers hold what the candles give."""
        return not self.was_revised and all(each.is_clean for each in self.comparisons)


@dataclass(frozen=True, slots=True)
class Verifier:
    """Verifies series over a candle store and both ledgers.

    `fingerprint_of` returns the fingerprint of drawings by that of the factors.
    """

    candles: CandleStore
    engines: Engines
    facts: FactorLedger
    overlay_engine: OverlayEngine
    drawings: OverlayLedger
    fingerprint_of: Callable[[str], str]

    def run(self, series: SeriesId, progress: Callable[[int], object] = lambda _: None) -> Verdict:
        """Recompute a series and compare; `progress` is called with the candles of each page."""
        before, found = self._begun(series)
        engine = self.engines.of(series)
        positions = Comparison("positions")
        expected = [] if before.head is None else self._positions(before, engine)
        positions.add(expected, found)
        fold = _Fold(self, series, engine)
        count = 0
        for page in self._pages(series, fold.after, before.head):
            fold.take(page)
            count += len(page)
            progress(len(page))
        parts = [positions, *fold.finish(before.head)]
        after = self.candles.state(series)
        was_revised = (after.epoch, after.generation) != (before.epoch, before.generation)
        return Verdict(count, before.head, parts, was_revised)

    def _begun(self, series: SeriesId) -> tuple[SeriesState, list[Row]]:
        """The state of the candles, and the positions of the ledgers at the same moment."""
        state = self.candles.state(series)
        for _ in range(ATTEMPTS):
            before, found = state, self._found(series)
            state = self.candles.state(series)
            if state == before:
                break
        return before, found

    def _positions(self, state: SeriesState, engine: Engine) -> list[Row]:
        head, epoch, _ = state
        return [
            ("factors", head, epoch, engine.fingerprint),
            ("overlays", head, epoch, self.fingerprint_of(engine.fingerprint)),
        ]

    def _found(self, series: SeriesId) -> list[Row]:
        facts, drawn = self.facts.position(series), self.drawings.state(series)
        rows: list[Row] = [] if facts is None else [("factors", *facts)]
        return rows if drawn is None else [*rows, ("overlays", *drawn.position)]

    def _pages(self, series: SeriesId, after: int, head: int | None) -> Iterator[list[Candle]]:
        while head is not None and after < head:
            page = self.candles.read_after(series, after, PAGE)
            page = [candle for candle in page if candle.candle_time <= head]
            if not page:
                return
            yield page
            after = page[-1].candle_time


class _Fold:
    """Recomputes one series with both engines, and compares page by page."""

    def __init__(self, verifier: Verifier, series: SeriesId, engine: Engine) -> None:
        self._verifier = verifier
        self._engine = engine
        self._series = series
        self._facts = engine.initial(series.timeframe)
        self._drawn = verifier.overlay_engine.initial(series.timeframe)
        self._versions = _Versions(verifier.drawings.versions(series))
        self.after = -1
        self._events = Comparison("events")
        self._heads = Comparison("heads")
        self._drawings = Comparison("versions")
        self._current: dict[str, Definition] = {}
        facts, drawn = verifier.facts.origin(series), verifier.drawings.origin(series)
        if facts is not None and drawn is not None and facts.candle_time == drawn.candle_time:
            # What was computed of removed candles can't be computed again. States of other logic or
            # parameters are no place to begin: then all that is left is compared.
            with suppress(StateError):
                restored = engine.restore(facts.data, self._read)
                self._drawn = verifier.overlay_engine.restore(drawn.data, self._read)
                self._facts, self.after = restored, facts.candle_time
                self._versions.up_to(self.after)
                self._current.update(self._versions.shown)

    def take(self, page: Sequence[Candle]) -> None:
        """Compare what the ledgers hold of these candles."""
        results = [self._engine.step(self._facts, candle) for candle in page]
        span = page[0].candle_time, page[-1].candle_time
        facts = self._verifier.facts
        self._events.add(
            [event for result in results for event in result.events],
            facts.events(self._series, *span),
        )
        self._heads.add(
            [head for result in results for head in sorted(result.heads, key=lambda h: h.factor)],
            facts.heads(self._series, *span),
        )
        changes = list(self._draw(results))
        self._drawings.add(changes, self._versions.up_to(span[1]))
        self._current.update(
            (each.instruction_id, each.definition) for each in changes if each.kind != POINT
        )

    def finish(self, head: int | None) -> list[Comparison]:
        """Rows beyond the last candle are too many; current drawings must be read as the newest."""
        beyond = self._versions.up_to(None)
        # In this order: whatever was read is of a candle that is stored by now.
        newest_time = self._verifier.candles.state(self._series).head
        if head is not None and newest_time is not None and newest_time > head:
            # Drawings of candles that were added since the verification began are not looked at.
            beyond = [row for row in beyond if row[_VISIBLE_TIME] > newest_time]
        self._drawings.add([], beyond)
        current = Comparison("current")
        if head is not None:
            newest = self._verifier.drawings.versions(self._series).newest(head, cutoff=0)
            current.add(
                sorted(name for name, definition in self._current.items() if definition),
                sorted(version.instruction_id for version in newest),
            )
        return [self._events, self._heads, self._drawings, current]

    def _draw(self, results: Sequence[StepResult]) -> Iterator[Change]:
        for result in results:
            new = FactorStep.of(result, self._read)
            yield from self._verifier.overlay_engine.step(self._drawn, new)

    def _read(self, start: int, end: int) -> list[Candle]:
        return self._verifier.candles.read_range(self._series, start, end, limit=PAGE)


class _Versions:
    """The stored versions in order, without those that repeat what was shown already."""

    def __init__(self, versions: VersionReader) -> None:
        self._read = versions
        self._cursor = 0
        self.shown: dict[str, Definition] = {}
        self._ahead: deque[InstructionVersion] = deque()

    def up_to(self, time: int | None) -> list[Row]:
        """The next versions that were visible by `time`; without a time, all the rest."""
        taken: list[Row] = []
        while self._ahead or self._fill():
            if time is not None and self._ahead[0].visible_time > time:
                return taken
            version = self._ahead.popleft()
            if version.kind == POINT:
                taken.append(version[1:])
            elif self.shown.get(version.instruction_id, {}) != version.definition:
                self.shown[version.instruction_id] = version.definition
                taken.append(version[1:])
        return taken

    def _fill(self) -> bool:
        page = self._read.after(self._cursor, NEVER - 1, limit=VERSIONS_PAGE)
        self._ahead.extend(page)
        if page:
            self._cursor = page[-1].version_id
        return bool(page)


def _text(row: Any) -> str:
    return json.dumps(row, separators=(",", ":"), default=dict)
