"""The factor engine and ledger of this process, built once as the switches demand."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings

from factors.domain.engine import Engine
from factors.domain.ledger import FactorLedger
from factors.domain.pivot import PivotParameters
from factors.domain.registered import Registered, registered
from factors.domain.sr_levels import SrParameters
from factors.engines import Engines, Values
from factors.rebuild import Rebuilder
from factors.stores.memory import MemoryFactorLedger
from factors.stores.postgres import PostgresFactorLedger
from market.domain.series import SeriesId
from market.runtime import candle_store, pipeline
from market.singletons import once
from market.stores.postgres import SERIES_KEY, read_rows


@once
def factors() -> Registered:
    """All factors that settings allow, with the parameters set; raises FactorsRefused."""
    switches = settings.SWITCHES
    return registered(
        parameters(), foreign=switches.foreign_factors, instances=switches.factor_instances
    )


OF_SERIES = f"""
SELECT factor, parameters::text FROM factor_parameters WHERE series_id = {SERIES_KEY}
"""


def parameters_of(series: SeriesId) -> Values:
    """The stored parameters of a series that differ from the usual ones."""
    return {factor: json.loads(text) for factor, text in read_rows(OF_SERIES, (str(series),))}


@once
def engines() -> Engines:
    """The engine of each series; raises FactorsRefused."""
    default = Engine(factors().factors, salt=settings.SWITCHES.factor_logic_version)
    return (
        Engines(default, parameters_of) if settings.SWITCHES.enable_pg_store else Engines(default)
    )


def engine() -> Engine:
    """The engine of series without parameters of their own; raises FactorsRefused."""
    return engines().default


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
    return Rebuilder(pipeline(), candle_store(), factor_ledger(), engines())
