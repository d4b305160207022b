"""Long events that are packed behind their predecessors of one factor and kind.

A snapshot repeats nearly all of the one before. The predecessor is the event before in the order of
the ledger, whatever its form; a ledger loses events only from a time on, so none loses its
predecessor.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from factors.domain.ledger import Position
from factors.stores.dense import (
    LONG,
    LONGEST_CHAIN,
    depth_of,
    packed,
    packed_behind,
    unpacked,
    unpacked_behind,
)
from market.domain.series import SeriesId

MOST_KEPT = 256
"""Of how many series the last long events are kept in memory."""

BEFORE = """
SELECT candle_time, id, event_key, payload, data FROM factor_events
WHERE series_id = %s AND (candle_time, id) < (%s, %s) AND factor_name = %s AND kind = %s
ORDER BY candle_time DESC, id DESC LIMIT %s
"""


class Last(NamedTuple):
    """The newest long event of a factor and kind: its text, and the length of its chain."""

    text: str
    depth: int


Lasts = dict[tuple[str, str], Last]


class KeptLasts:
    """The last long events of the ledgers that this process writes; thread-safe.

    They are what a ledger ends with as long as its position, and the store's generation, are those
    that were left (as for factors.engine_states.Kept).
    """

    def __init__(self) -> None:
        self._kept: dict[SeriesId, tuple[Position, str, Lasts]] = {}
        self._mutex = threading.Lock()

    def of(self, series: SeriesId, at: Position | None, generation: str) -> Lasts:
        """The last events of a ledger at a position; none if they are not known."""
        with self._mutex:
            kept = self._kept.get(series)
        return dict(kept[2]) if kept is not None and kept[:2] == (at, generation) else {}

    def put(self, series: SeriesId, at: Position, generation: str, lasts: Lasts) -> None:
        """Keep the last events of a ledger; the least recently written series is dropped."""
        with self._mutex:
            self._kept.pop(series, None)
            self._kept[series] = (at, generation, lasts)
            if len(self._kept) > MOST_KEPT:
                del self._kept[next(iter(self._kept))]


def text_of(key: str, payload: str) -> str:
    """The two texts of an event as one."""
    return f"{key}\n{payload}"


def texts_of(text: str) -> tuple[str, str]:
    """Key and payload. A payload is JSON without line breaks; a key may have some."""
    key, _, payload = text.rpartition("\n")
    return key, payload


def pack_event(time: int, factor: str, kind: str, text: str, lasts: Lasts) -> bytes:
    """Pack the next event of a ledger, behind the last of its factor and kind if both are long."""
    if len(text) < LONG:
        # The next one is not packed behind it, nor behind one before it.
        lasts.pop((factor, kind), None)
        return packed(text, time)
    last = lasts.get((factor, kind))
    if last is None or last.depth + 1 >= LONGEST_CHAIN:
        lasts[factor, kind] = Last(text, 0)
        return packed(text, time)
    lasts[factor, kind] = Last(text, last.depth + 1)
    return packed_behind(text, last.text, last.depth + 1)


class EventRow(NamedTuple):
    """An event as its table holds it."""

    series_id: int
    time: int
    number: int
    factor: str
    kind: str
    key: str
    payload: str
    data: memoryview | None


def unpack_events(rows: Iterable[EventRow], query: Any) -> Iterator[tuple[EventRow, str, str]]:
    """Rows of one series in the order of the ledger, without holes, each with key and payload.

    `query` executes a statement and returns its rows: the first rows may need their predecessors.
    """
    known: dict[tuple[str, str], str] = {}
    for row in rows:
        place = (row.factor, row.kind)
        if row.data is None:
            key, payload = row.key, row.payload
            if len(payload) >= LONG:
                known[place] = text_of(key, payload)
        elif not depth_of(row.data):
            text = known[place] = unpacked(row.data, row.time)
            key, payload = texts_of(text)
        else:
            previous = known.get(place) or predecessor(row, query).text
            text = known[place] = unpacked_behind(row.data, previous)
            key, payload = texts_of(text)
        yield row, key, payload


def predecessor(row: EventRow, query: Any) -> Last:
    """The event before `row` of its factor and kind; an empty one if there is none."""
    chain: list[memoryview] = []
    before = (row.time, row.number)
    while True:
        found = query(BEFORE, (row.series_id, *before, row.factor, row.kind, LONGEST_CHAIN))
        for time, number, key, payload, data in found:
            before = (time, number)
            if data is not None and depth_of(data):
                chain.append(data)
                continue
            text = text_of(key, payload) if data is None else unpacked(data, time)
            return _end_of(text, chain)
        if len(found) < LONGEST_CHAIN:
            return _end_of("", chain)


def _end_of(text: str, chain: list[memoryview]) -> Last:
    """The last text of a chain whose rows are given the newest first."""
    for data in reversed(chain):
        text = unpacked_behind(data, text)
    return Last(text, len(chain))
