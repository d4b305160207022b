"""What a process makes once, by name: this file is read before Django is set up."""

from __future__ import annotations

from django.utils.module_loading import import_string

SINGLETONS = (
    "market.runtime.candle_store",
    "market.runtime.pipeline",
    "market.api.candle_pages.candle_pages",
    "market.api.tail.tail_requests",
    "market.api.top_markets.force_throttle",
    "market.ingest.gap_ledger.ledger",
    "market.ingest.runtime.lease_store",
    "factors.runtime.engine",
    "factors.runtime.factor_ledger",
    "overlays.runtime.engine",
    "overlays.runtime.fingerprint",
    "overlays.runtime.overlay_ledger",
)


def forget_singletons():
    """Let everything be made anew, as in a new process."""
    for singleton in SINGLETONS:
        import_string(singleton).cache_clear()
