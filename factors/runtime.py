"""The factor engine and ledger of this process, built once as the switches demand."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from factors.domain.all_factors import FACTORS
from factors.domain.engine import Engine
from factors.domain.ledger import FactorLedger
from factors.domain.pivot import PivotParameters
from factors.domain.sr_levels import SrParameters
from factors.rebuild import Rebuilder
from factors.stores.memory import MemoryFactorLedger
from factors.stores.postgres import PostgresFactorLedger
from market.domain.series import SeriesId
from market.runtime import candle_store, pipeline
from market.singletons import once


@once
def engine() -> Engine:
    """All factors with the parameters set; raises GraphError for factors in no order."""
    return Engine(FACTORS, parameters(), salt=settings.SWITCHES.factor_logic_version)


def parameters() -> dict[str, Any]:
    """The parameters that switches set, by factor name."""
    switches = settings.SWITCHES
    return {
        "pivot": PivotParameters(switches.pivot_window_major, switches.pivot_window_minor),
        "sr": SrParameters(
            tolerance_atr=switches.sr_tolerance_atr,
            min_touches=switches.sr_min_touches,
            max_levels=switches.sr_max_levels,
            broken_cross_count=switches.sr_broken_cross_count,
            atr_period=switches.sr_atr_period,
            cluster_pivot_limit=switches.sr_cluster_pivot_limit,
        ),
    }


@once
def factor_ledger() -> FactorLedger:
    """The one factor ledger of this process, beside its candle store."""
    if not settings.SWITCHES.enable_pg_store:
        return MemoryFactorLedger()
    return PostgresFactorLedger(dense=settings.SWITCHES.enable_dense_ledger)


def head_time(series: SeriesId) -> int | None:
    """The newest candle (open time) whose facts the ledger holds; None before the first."""
    position = factor_ledger().position(series)
    return None if position is None or position.head_time < 0 else position.head_time


def rebuilder() -> Rebuilder:
    """Rebuilds series through this process's pipeline."""
    return Rebuilder(pipeline(), candle_store(), factor_ledger(), engine().fingerprint)
