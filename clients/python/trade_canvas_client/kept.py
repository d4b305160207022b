"""What a client keeps between two reads: chunks of history, which never change."""

from __future__ import annotations

import threading
from collections import OrderedDict

from trade_canvas_client.columns import Columns

MOST_CANDLES = 1_000_000
"""About 48 MB."""


class Kept:
    """The chunks used last, and whether the server has compact history; safe between threads."""

    def __init__(self, most_candles: int = MOST_CANDLES) -> None:
        self.has_history: bool | None = None
        """None: not asked yet."""
        self._most = most_candles
        self._chunks: OrderedDict[tuple[str, str], Columns] = OrderedDict()
        self._candles = 0
        self._lock = threading.Lock()

    def chunk(self, series_id: str, name: str) -> Columns | None:
        """Return a chunk, if it is kept."""
        with self._lock:
            found = self._chunks.get((series_id, name))
            if found is not None:
                self._chunks.move_to_end((series_id, name))
            return found

    def keep_chunk(self, series_id: str, name: str, columns: Columns) -> None:
        """Keep a chunk, and drop those that were used longest ago."""
        with self._lock:
            replaced = self._chunks.pop((series_id, name), None)
            self._chunks[series_id, name] = columns
            self._candles += len(columns) - (len(replaced) if replaced is not None else 0)
            while self._candles > self._most:
                _, dropped = self._chunks.popitem(last=False)
                self._candles -= len(dropped)
