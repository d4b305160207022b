"""The overlay engine and ledger of this process, built once as the switches demand."""

from __future__ import annotations

import hashlib

from django.conf import settings

from factors import runtime as factors
from market.domain.series import SeriesId
from market.runtime import candle_store, derived_book, derived_timeframes, retention_bounds
from market.singletons import once
from overlays.domain.all_renderers import overlay_engine
from overlays.domain.ledger import OverlayLedger
from overlays.domain.registered import registered_renderers
from overlays.domain.renderer import OverlayEngine
from overlays.reads import Reads
from overlays.retention import Retention
from overlays.stores.memory import MemoryOverlayLedger
from overlays.stores.postgres import PostgresOverlayLedger


@once
def engine() -> OverlayEngine:
    """All renderers, drawing as many candles back as set; raises FactorsRefused."""
    switches = settings.SWITCHES
    renderers = registered_renderers(factors.factors(), foreign=switches.foreign_factors)
    return overlay_engine(switches.overlay_window_candles, renderers)


def load_factors() -> None:
    """Load all factors and renderers that settings name; raises FactorsRefused."""
    engine()
    factors.engines()


def fingerprint_of(facts: str) -> str:
    """Names everything except candles that determines the drawings: factors and renderers.

    `facts` is the fingerprint of the factors' engine.
    """
    return hashlib.sha256(f"{facts} {engine().fingerprint}".encode()).hexdigest()


@once
def overlay_ledger() -> OverlayLedger:
    """The one overlay ledger of this process, beside its candle store."""
    if not settings.SWITCHES.enable_pg_store:
        return MemoryOverlayLedger()
    return PostgresOverlayLedger(dense=settings.SWITCHES.enable_dense_ledger)


def retention() -> Retention:
    """Retention as the switches say, over this process's stores."""
    return Retention(
        bounds=retention_bounds(),
        engines=factors.engines(),
        overlays=engine(),
        fingerprint_of=fingerprint_of,
        book=derived_book(),
        timeframes=derived_timeframes(),
        store=candle_store(),
    )


def head_time(series: SeriesId) -> int | None:
    """The newest candle (open time) that is drawn; None before the first."""
    state = overlay_ledger().state(series)
    if state is None or state.position.head_time < 0:
        return None
    return state.position.head_time


def reads() -> Reads:
    """The reads over this process's stores."""
    return Reads(
        candle_store(), factors.factor_ledger(), overlay_ledger(), factors.engine().factors
    )
