"""What an answer about drawings depends on: the states of candles and drawings, for many series."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from typing_extensions import override

from factors.domain.ledger import Position
from market.domain.series import SeriesId
from market.domain.store import EMPTY, CandleStore, SeriesState
from market.stores.postgres_states import PostgresStates
from overlays.domain.ledger import LedgerState, OverlayLedger


class DrawnState(NamedTuple):
    """The states of the candles and of the drawings of a series, read together."""

    candles: SeriesState
    drawn: LedgerState | None


# As the candle store's own statement, with the drawings beside.
STATES = """
SELECT name, series.head_time, series.epoch, generation,
    drawn.head_time, drawn.epoch, drawn.fingerprint, drawn.tick_id, drawn.takebacks
FROM store_generation() AS generation LEFT JOIN series ON name = ANY(%s)
LEFT JOIN overlay_state AS drawn ON drawn.series_id = series.id
"""

# The same for one series, and no row if it is unknown: cheaper to plan.
STATE = """
SELECT name, series.head_time, series.epoch, store_generation(),
    drawn.head_time, drawn.epoch, drawn.fingerprint, drawn.tick_id, drawn.takebacks
FROM series LEFT JOIN overlay_state AS drawn ON drawn.series_id = series.id WHERE name = %s
"""


class PostgresDrawnStates(PostgresStates[DrawnState]):
    """Reads them on the event loop by one small query."""

    statement = STATES
    statement_of_one = STATE

    @override
    def parsed(
        self, rows: Sequence[tuple[Any, ...]], asked: Mapping[str, SeriesId]
    ) -> dict[SeriesId, DrawnState]:
        empty = DrawnState(EMPTY._replace(generation=rows[0][3]), None)
        known = {
            asked[name]: DrawnState(SeriesState(*candles), drawn_in(drawn))
            for name, *rest in rows
            if name is not None
            for candles, drawn in [(rest[:3], rest[3:])]
        }
        return {series: known.get(series, empty) for series in asked.values()}


class MemoryDrawnStates:
    """The memory stores answer at once."""

    def __init__(self, candles: CandleStore, drawings: OverlayLedger) -> None:
        self._candles = candles
        self._drawings = drawings

    async def states(self, series: Iterable[SeriesId]) -> dict[SeriesId, DrawnState]:
        """The states of several series."""
        # In this order, so that the drawings are never newer than the candles.
        drawn = {each: self._drawings.state(each) for each in series}
        candles = self._candles.states(drawn)
        return {each: DrawnState(candles[each], drawn[each]) for each in drawn}

    def close(self) -> None:
        """There is nothing to close."""


def drawn_in(row: Sequence[Any]) -> LedgerState | None:
    """The state of a ledger in the five columns of its row; None without one."""
    return None if row[0] is None else LedgerState(Position(*row[:3]), *row[3:])
