"""The rows of series as this process left them, for a next commit that need not read them.

A live candle then takes one round trip: the series' lock, the comparison with its row, the candle
and the commit travel together. If another writer came between, nothing is stored.
"""

from __future__ import annotations

from typing import NamedTuple

from market.domain.series import SeriesId
from market.domain.store import Fence
from market.stores.postgres_series import SeriesRow
from market.stores.postgres_writer import PostgresWriter

MOST_KNOWN = 20_000

# Where several processes write a series in turn, a wrong guess costs two round trips. So a row is
# relied on once it was found as this process had left it, so many times in a row.
TRUSTED_AFTER = 3


class KnownRow(NamedTuple):
    """The row of a series after a commit; `found` counts how often it was found so before."""

    row: SeriesRow
    found: int

    def is_trusted(self, fence: Fence | None) -> bool:
        """Whether a writer with this fence may go on from the row without reading it."""
        return self.found >= TRUSTED_AFTER and (fence is None or fence == self.row.fence)


class KnownRows:
    """The rows of a process; any thread may use it.

    A row is taken for each transaction and put back after its commit, so that none outlasts a
    failure. Of two writers at once the slower may put an outdated row: then the next one fails.
    """

    def __init__(self) -> None:
        self._rows: dict[SeriesId, KnownRow] = {}

    def take(self, series: SeriesId) -> KnownRow | None:
        """Remove and return the row of a series."""
        return self._rows.pop(series, None)

    def put(self, before: KnownRow | None, writer: PostgresWriter) -> None:
        """Keep the row as a committed writer left it; `before` was taken for its transaction."""
        left = writer.left
        if left is None:
            return
        found = before.found + 1 if before is not None and before.row == writer.row else 0
        if len(self._rows) >= MOST_KNOWN:
            self._rows.clear()
        self._rows[writer.series] = KnownRow(left, found)
