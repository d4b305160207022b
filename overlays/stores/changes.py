"""What changed in the drawings of many series since what is known of each, in one read.

A change leads from what the window showed at one candle to what it shows at a later one: the new
versions, and the instructions that are not shown any more. No drawing comes into view with time
alone: none begins after the candle with which it appears.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple, Protocol

from typing_extensions import override

from factors.domain.slices import window_start
from market.domain.series import SeriesId
from market.domain.store import EMPTY, CandleStore, SeriesState
from market.stores.postgres import read_rows
from overlays.domain.instruction import POINT, InstructionVersion
from overlays.domain.ledger import OverlayLedger
from overlays.stores.drawn_states import DrawnState, drawn_in
from overlays.stores.forms import version


class Known(NamedTuple):
    """What is known of a series' drawings: a batch's number, its newest candle, and takebacks."""

    tick_id: int
    head_time: int
    takebacks: int


class Changes(NamedTuple):
    """The present state of a series, and the versions and ids of the change that leads there.

    The points of lines are among the versions.
    `versions` is None when none leads there: nothing was known, or drawings were deleted since.
    """

    state: DrawnState
    versions: Sequence[InstructionVersion] | None = None
    removed: Sequence[str] = ()


class ChangesReader(Protocol):
    """Reads what changed; blocks."""

    def read(
        self, known: Mapping[SeriesId, Known | None], *, window: int, limit: int
    ) -> dict[SeriesId, Changes]:
        """The changes of several series in a window of so many candles.

        Of each at most `limit` versions and one are read: then there are more.
        """


# One row a series in `now`; without a known state nothing joins it.
CHANGES = """
WITH asked AS (
    SELECT * FROM unnest(%(names)s::text[], %(ticks)s::bigint[], %(heads)s::bigint[],
        %(takebacks)s::bigint[], %(reaches)s::bigint[])
        AS asked (name, known_tick, known_head, known_takebacks, reach)
), now AS MATERIALIZED (
    SELECT asked.*, series.id AS key, series.head_time, series.epoch, generation,
        drawn.head_time AS drawn_to, drawn.epoch AS drawn_epoch, drawn.fingerprint, drawn.tick_id,
        drawn.takebacks, greatest(0, drawn.head_time - reach) AS cutoff,
        greatest(0, known_head - reach) AS known_cutoff
    FROM asked CROSS JOIN store_generation() AS generation LEFT JOIN series USING (name)
        LEFT JOIN overlay_state AS drawn ON drawn.series_id = series.id
), changing AS (
    SELECT * FROM now WHERE takebacks = known_takebacks AND tick_id > known_tick
)
SELECT 0, name, head_time, epoch, drawn_to, drawn_epoch, tick_id, takebacks, generation,
    fingerprint, NULL, NULL::boolean, NULL::bytea, NULL::bigint, NULL::bigint
FROM now
UNION ALL
SELECT 1, name, version_id, visible_time, NULL, NULL, NULL, NULL, instruction_id, kind, definition,
    starts IS NOT NULL AND starts <= drawn_to AND (ends IS NULL OR ends >= cutoff),
    data, starts, ends
FROM changing CROSS JOIN LATERAL (
    SELECT version_id, instruction_id, kind, visible_time, definition, data, starts, ends
    FROM overlay_versions WHERE series_id = key
        AND version_id > known_tick AND version_id <= changing.tick_id
    UNION ALL
    SELECT version_id, instruction_id, 'point', visible_time, '{"value":' || value || '}',
        NULL, NULL, NULL
    FROM overlay_points WHERE series_id = key
        AND version_id > known_tick AND version_id <= changing.tick_id
    ORDER BY version_id LIMIT %(limit)s
) AS new
UNION ALL
SELECT 2, name, NULL, NULL, NULL, NULL, NULL, NULL, instruction_id, NULL, NULL, FALSE,
    NULL, NULL, NULL
FROM changing CROSS JOIN LATERAL (
    SELECT instruction_id FROM overlay_versions WHERE series_id = key
        AND ends >= known_cutoff AND ends < cutoff AND until > drawn_to
) AS gone
"""


class PostgresChanges(ChangesReader):
    """One statement, so one moment for all that it returns."""

    @override
    def read(
        self, known: Mapping[SeriesId, Known | None], *, window: int, limit: int
    ) -> dict[SeriesId, Changes]:
        asked = list(known)
        columns = zip(*((each or (None, None, None)) for each in known.values()), strict=True)
        ticks, heads, takebacks = map(list, columns)
        values: Any = {
            "names": [str(series) for series in asked],
            "ticks": ticks,
            "heads": heads,
            "takebacks": takebacks,
            "reaches": [window * series.timeframe.seconds for series in asked],
            "limit": limit + 1,
        }
        rows = read_rows(CHANGES, values)
        found: defaultdict[str, list[Any]] = defaultdict(list)
        for part, name, *fields in rows:
            found[name].append((part, fields))
        return {series: _changes(found[str(series)], known[series]) for series in asked}


def _changes(rows: Sequence[tuple[int, list[Any]]], known: Known | None) -> Changes:
    """The changes of one series in the rows of CHANGES."""
    ((head, epoch, drawn_to, drawn_epoch, tick, takebacks, generation, fingerprint, *_),) = (
        fields for part, fields in rows if part == 0
    )
    candles = EMPTY._replace(generation=generation)
    if head is not None:
        candles = SeriesState(head, epoch, generation)
    drawn = drawn_in((drawn_to, drawn_epoch, fingerprint, tick, takebacks))
    if known is None or drawn is None or drawn.takebacks != known.takebacks:
        return Changes(DrawnState(candles, drawn))
    new = sorted((fields for part, fields in rows if part == 1), key=itemgetter(0))
    versions = [version(each[0], each[6], each[7], each[1], each[8], *each[10:]) for each in new]
    # The newest version of an instruction decides whether it is shown.
    is_shown = {fields[6]: fields[9] for fields in new if fields[7] != POINT}
    removed = [fields[6] for part, fields in rows if part == 2 and fields[6] not in is_shown]
    removed += [name for name, shown in is_shown.items() if not shown]
    return Changes(DrawnState(candles, drawn), versions, sorted(removed))


class MemoryChanges(ChangesReader):
    """Compares what the window shows with what it showed."""

    def __init__(self, candles: CandleStore, drawings: OverlayLedger) -> None:
        self._candles = candles
        self._drawings = drawings

    @override
    def read(
        self, known: Mapping[SeriesId, Known | None], *, window: int, limit: int
    ) -> dict[SeriesId, Changes]:
        return {each: self._of(each, at, window, limit) for each, at in known.items()}

    def _of(self, series: SeriesId, known: Known | None, window: int, limit: int) -> Changes:
        # In this order, so that the drawings are never newer than the candles.
        drawn = self._drawings.state(series)
        state = DrawnState(self._candles.state(series), drawn)
        if known is None or drawn is None or drawn.takebacks != known.takebacks:
            return Changes(state)
        versions, to_time = self._drawings.versions(series), drawn.position.head_time
        before, after = (
            {
                each.instruction_id
                for each in versions.newest(
                    time, cutoff=window_start(time, window, series.timeframe)
                )
            }
            for time in (known.head_time, to_time)
        )
        new = versions.after(known.tick_id, to_time, limit=limit + 1)
        names = {each.instruction_id for each in new if each.kind != POINT}
        return Changes(state, new, sorted((before | names) - after))
