"""How far the ledgers of a series are behind its candles: the answer of /api/factor/health."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from django.conf import settings
from django.utils.module_loading import import_string

from market.domain.series import SeriesId
from market.domain.timeframe import Timeframe
from market.runtime import candle_store

LEDGERS = ("factor", "overlay")


@dataclass(frozen=True, slots=True)
class Heads:
    """The newest candle in the store and in each ledger (open times in Unix seconds)."""

    store: int | None
    factor: int | None
    overlay: int | None


class Delay(NamedTuple):
    """How far a ledger is behind the store; None when either holds nothing."""

    seconds: int | None
    candles: int | None


def read_heads(series: SeriesId) -> Heads:
    """Read the heads of the store and of the ledgers that settings name; blocking."""
    # The ledgers first: one that is read after the store could be ahead of it.
    found = {name: import_string(path)(series) for name, path in settings.LEDGER_HEADS.items()}
    return Heads(candle_store().state(series).head, *(found.get(name) for name in LEDGERS))


def health(series: SeriesId, heads: Heads) -> dict[str, Any]:
    """The health answer for these heads."""
    timeframe = series.timeframe
    factor, overlay = (
        _delay(heads.store, head, timeframe) for head in (heads.factor, heads.overlay)
    )
    known = [delay for delay in (factor, overlay) if delay.seconds is not None]
    longest = max(known, default=Delay(None, None))
    status, reason = _status(heads, longest.candles)
    return {
        "series_id": str(series),
        "timeframe_seconds": timeframe.seconds,
        "store_head_time": heads.store,
        "factor_head_time": heads.factor,
        "overlay_head_time": heads.overlay,
        "factor_delay_seconds": factor.seconds,
        "factor_delay_candles": factor.candles,
        "overlay_delay_seconds": overlay.seconds,
        "overlay_delay_candles": overlay.candles,
        "max_delay_seconds": longest.seconds,
        "max_delay_candles": longest.candles,
        "status": status,
        "status_reason": reason,
    }


def _delay(store: int | None, head: int | None, timeframe: Timeframe) -> Delay:
    if store is None or head is None:
        return Delay(None, None)
    seconds = max(0, store - head)
    return Delay(seconds, timeframe.lacking(head, store))


def _status(heads: Heads, candles: int | None) -> tuple[str, str]:
    if heads.store is None:
        return "gray", "no_store_head"
    missing = [name for name in LEDGERS if getattr(heads, name) is None]
    if missing:
        return "red", f"missing_{'_'.join(missing)}_head"
    if not candles:
        return "green", "up_to_date"
    if candles == 1:
        return "yellow", "lagging_one_candle"
    return "red", "lagging_many_candles"
