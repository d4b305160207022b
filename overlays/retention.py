"""Retention: removing the candles of a series that are older than its timeframe keeps.

A cut is made at a saved state of both ledgers, so that everything behind it can still be computed
again. The cut is recorded first, then rows are removed batch by batch, each in a short transaction
under the lock of the series. An interrupted removal goes on where it stopped.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db import connection, transaction

from factors.domain.slices import LONGEST_WINDOW
from factors.domain.values import StateError
from factors.engines import Engines
from factors.stores.shared import inflated
from market.api.history_chunks import CELL_CANDLES
from market.domain.derived import BEGINNING, DerivedBook
from market.domain.retention import Bounds, oldest_kept
from market.domain.rollup import DerivedTimeframes
from market.domain.series import SeriesId
from market.domain.store import CandleStore
from market.stores.postgres import PostgresCandleStore, read_rows
from market.stores.postgres_writer import PostgresWriter
from overlays.domain.renderer import OverlayEngine
from overlays.stores.removal import Cut, Part, Removal

log = logging.getLogger(__name__)

AT_ONCE = 2_000
"""Rows of one transaction, about."""

# Where the series is, and where its ledgers are; without a ledger its columns are null.
PLACE = """
SELECT series.id, series.head_time, series.epoch, kept_from, removed_to,
    facts.head_time, facts.epoch, facts.fingerprint, drawn.head_time, drawn.epoch, drawn.fingerprint
FROM series LEFT JOIN factor_state AS facts ON facts.series_id = series.id
    LEFT JOIN overlay_state AS drawn ON drawn.series_id = series.id
WHERE name = %s
"""
# The newest state before a time that both ledgers have.
STATES = """
SELECT facts.candle_time, facts.candle_count, facts.data, drawn.data
FROM factor_checkpoints AS facts JOIN overlay_checkpoints AS drawn USING (series_id, candle_time)
WHERE series_id = %s AND candle_time < %s ORDER BY candle_time DESC LIMIT 1
"""
ORIGINS = """
SELECT (SELECT candle_time FROM factor_checkpoints WHERE series_id = %s AND candle_count = 0),
    (SELECT candle_time FROM overlay_checkpoints WHERE series_id = %s AND candle_count = 0)
"""
LONGER = "SELECT name, head_time FROM series WHERE head_time IS NOT NULL ORDER BY name"


class NotNow(Exception):
    """Nothing can be removed from a series at present; the message is why."""


class Report(NamedTuple):
    """What would go of a series: the time before which candles go, and rows by table.

    `reason` is why nothing can go at present.
    """

    series: SeriesId
    before: int = 0
    parts: dict[str, Part] = {}  # noqa: RUF012  Never changed.
    reason: str = ""


class Place(NamedTuple):
    """Where a series and its ledgers are."""

    key: int
    head: int
    epoch: int
    kept_from: int
    removed_to: int
    facts: tuple[int, int, str] | None
    drawn: tuple[int, int, str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """Reports and removes what the bounds let go, on PostgreSQL. Every method is blocking.

    Cuts are multiples of `cell_candles` candles, so that no chunk of compact history is divided.
    `fingerprint_of` returns the fingerprint of drawings by that of the factors. A transaction
    removes about `at_once` rows.
    """

    bounds: Bounds
    engines: Engines
    overlays: OverlayEngine
    fingerprint_of: Callable[[str], str]
    book: DerivedBook
    timeframes: DerivedTimeframes
    store: CandleStore
    cell_candles: int = CELL_CANDLES
    at_once: int = AT_ONCE

    def series(self) -> list[SeriesId]:
        """The stored series whose timeframe has a bound, ascending."""
        named = [SeriesId.parse(name) for name, _ in read_rows(LONGER, ())]
        return [each for each in named if each.timeframe in self.bounds]

    def report(self, series: SeriesId) -> Report:
        """What `remove` would delete of a series now."""
        # Without the lock of the series: counting takes as long as there are rows to go.
        with transaction.atomic(), connection.cursor() as cursor:
            try:
                place = self._place(series)
                cut = self._due(series, place)
            except NotNow as reason:
                return Report(series, reason=str(reason))
            if cut is None:
                return Report(series)
            parts = Removal(cursor, place.key, cut).counted()
        return Report(series, cut.time, parts)

    def remove(self, series: SeriesId) -> Iterator[dict[str, int]]:
        """Remove what is due; yield the rows by table after each committed transaction.

        Raises NotNow, StoreUnavailable and DatabaseError; what was removed until then is gone.
        """
        is_new = True
        while True:
            with self.store.writing(series) as writer:
                assert isinstance(writer, PostgresWriter)
                place = self._place(series)
                cut = self._due(series, place) if is_new else self._going_on(series, place)
                if cut is None:
                    return
                removal = Removal(writer.cursor, place.key, cut)
                done = removal.remove(self.at_once)
                is_done = not any(done.values())
                if cut.origin is not None:
                    done["checkpoints"] = removal.remove_checkpoints()
                self._record(writer.cursor, series, place.key, cut, is_done=is_done)
            is_new = False
            if any(done.values()):
                yield done
            if is_done:
                return

    def _place(self, series: SeriesId) -> Place:
        rows = read_rows(PLACE, (str(series),))
        if not rows or rows[0][1] is None:
            raise NotNow("it has no candles")
        key, head, epoch, kept_from, removed_to, *ledgers = rows[0]
        facts, drawn = tuple(ledgers[:3]), tuple(ledgers[3:])
        return Place(
            key,
            head,
            epoch,
            kept_from,
            removed_to,
            facts if facts[0] is not None else None,
            drawn if drawn[0] is not None else None,
        )

    def _due(self, series: SeriesId, place: Place) -> Cut | None:
        """The cut to make or to finish; None if nothing is due."""
        wanted = oldest_kept(self.bounds, series.timeframe, place.head)
        is_unfinished = place.removed_to < place.kept_from
        if not wanted or (wanted <= place.kept_from and not is_unfinished):
            return None
        self._require_derived(series)
        found = self._found(series, place, wanted)
        if found is not None and found.time > place.kept_from:
            first = self.store.first(series)
            return found if first is not None and first < found.time else None
        return self._going_on(series, place) if is_unfinished else None

    def _going_on(self, series: SeriesId, place: Place) -> Cut | None:
        """The cut that is recorded, while its origin is there; else one that can be made now."""
        if place.facts is None and place.drawn is None:
            return self._cut(series, place.kept_from)
        facts, drawn = read_rows(ORIGINS, (place.key, place.key))[0]
        if facts is None or facts != drawn:
            # The ledgers were computed again meanwhile, from the first candle that was left.
            wanted = oldest_kept(self.bounds, series.timeframe, place.head)
            return self._found(series, place, wanted)
        row = read_rows(
            "SELECT data FROM overlay_checkpoints WHERE series_id = %s AND candle_time = %s",
            (place.key, drawn),
        )[0]
        return self._cut(series, place.kept_from, drawn, self._drawn_in(row[0]))

    def _found(self, series: SeriesId, place: Place, wanted: int) -> Cut | None:
        """The newest cut that keeps all from `wanted` on; None if there is nothing before it."""
        if place.facts is None and place.drawn is None:
            return self._aligned(series, wanted)
        at, engine = (place.head, place.epoch), self.engines.of(series)
        drawn_by = self.fingerprint_of(engine.fingerprint)
        if place.facts != (*at, engine.fingerprint) or place.drawn != (*at, drawn_by):
            raise NotNow("factors or drawings are not up to date: manage.py rebuild")
        rows = read_rows(STATES, (place.key, wanted))
        if not rows:
            return None
        time, count, facts, drawn = rows[0]
        if not count:
            # The cut that was made before is still the newest.
            return None
        try:
            state = engine.restore(inflated(bytes(facts)), _read_nothing)
            names = self._drawn_in(drawn)
        except StateError as error:
            raise NotNow(f"a saved state can't be used: {error}") from error
        # What states behind it may read: closes of old pivots, and candles of anchors.
        needed = engine.reads_from(state)
        reach = time - self.overlays.window_candles * series.timeframe.seconds
        return self._aligned(series, min(reach, reach if needed is None else needed), time, names)

    def _drawn_in(self, data: Any) -> list[str]:
        return sorted(self.overlays.restore(inflated(bytes(data)), _read_nothing).sheet.drawn)

    def _aligned(
        self, series: SeriesId, time: int, origin: int | None = None, drawn: Sequence[str] = ()
    ) -> Cut | None:
        cell = self.cell_candles * series.timeframe.seconds
        time = time // cell * cell
        return self._cut(series, time, origin, drawn) if time > 0 else None

    def _cut(
        self, series: SeriesId, time: int, origin: int | None = None, drawn: Sequence[str] = ()
    ) -> Cut:
        window = max(0, time - LONGEST_WINDOW * series.timeframe.seconds)
        return Cut(time, window, origin, drawn)

    def _require_derived(self, series: SeriesId) -> None:
        """Raise NotNow while derived series lack something that would go."""
        known, state = self.book.known(), self.store.state(series)
        for derived in self.timeframes.derived_of(series):
            made = known.get(derived)
            if made is not None and (made.since > BEGINNING or made.epoch != state.epoch):
                raise NotNow(f"{derived} is not made of all of it yet")

    def _record(self, cursor: Any, series: SeriesId, key: int, cut: Cut, *, is_done: bool) -> None:
        """Record the cut; once all is removed, drop what is noted of times before it."""
        cursor.execute("UPDATE series SET kept_from = %s WHERE id = %s", (cut.time, key))
        if is_done:
            cursor.execute(
                "DELETE FROM gaps WHERE series_id = %s AND from_time < %s", (key, cut.time)
            )
            cursor.execute(
                "DELETE FROM incomplete_buckets WHERE name = %s AND candle_time < %s",
                (str(series), cut.time),
            )
            cursor.execute("UPDATE series SET removed_to = kept_from WHERE id = %s", (key,))


def _read_nothing(start: int, end: int) -> list[Any]:
    raise StateError("no candle is read to find a cut")


def is_supported(store: CandleStore) -> bool:
    """Whether a store keeps candles that retention can remove."""
    return isinstance(store, PostgresCandleStore)
