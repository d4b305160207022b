"""Holes in the ledger of this process."""

from __future__ import annotations

from market.ingest.gap_ledger import PostgresGapLedger, ledger
from market.ingest.gap_ranges import GapEntry, GapState
from market.models import Series


def record_gap(series, first, last, state=GapState.OPEN, **fields):
    """Record a hole by the open times of its first and last missing candle. Blocking."""
    if isinstance(ledger(), PostgresGapLedger):
        # As if there were candles around it: the ledger knows no gap of a series without any.
        Series.objects.get_or_create(name=str(series))
    known = {"reason": "seen", **fields}
    ledger().record(GapEntry(series=series, from_time=first, to_time=last, state=state, **known))
