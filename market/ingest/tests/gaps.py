"""Holes in the ledger of this process."""

from __future__ import annotations

from market.ingest.gap_ledger import ledger
from market.ingest.gap_ranges import GapEntry, GapState


def record_gap(series, first, last, state=GapState.OPEN):
    """Record a hole by the open times of its first and last missing candle. Blocking."""
    ledger().record(
        GapEntry(series=series, from_time=first, to_time=last, reason="seen", state=state)
    )
