"""Engine states that this process keeps of the series it writes: as many as fit, newest used.

A state is taken out while a batch is computed with it, and put back once the batch has landed. So
whatever fails, none is here that has seen candles which are not stored.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import NamedTuple

from factors.domain.engine import EngineState
from factors.domain.ledger import LedgerState
from market.domain.series import SeriesId

MOST = 256


class Kept(NamedTuple):
    """An engine state, and how the ledger stood when it was right."""

    at: LedgerState
    state: EngineState


class KeptStates:
    """At most `most` series; safe to use from several threads."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._states: OrderedDict[SeriesId, Kept] = OrderedDict()
        self._mutex = threading.Lock()

    def take(self, series: SeriesId) -> Kept | None:
        """The state kept of a series, which then is the caller's alone."""
        with self._mutex:
            return self._states.pop(series, None)

    def put(self, series: SeriesId, kept: Kept) -> None:
        """Keep a state; the one not used for longest goes when there are too many."""
        with self._mutex:
            self._states[series] = kept
            self._states.move_to_end(series)
            if len(self._states) > self._most:
                self._states.popitem(last=False)
