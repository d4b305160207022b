"""The store and the pipeline of this process, as the switches configure them."""

from __future__ import annotations

from django.conf import settings

from market.domain.store import CandleStore
from market.pipeline import Pipeline, load_stages
from market.singletons import once
from market.stores.memory import MemoryCandleStore
from market.stores.postgres import PostgresCandleStore


@once
def candle_store() -> CandleStore:
    """The candle store: PostgreSQL with its switch on, memory otherwise."""
    if settings.SWITCHES.enable_pg_store:
        return PostgresCandleStore()
    return MemoryCandleStore()


@once
def pipeline() -> Pipeline:
    """The pipeline with the stages that settings name."""
    return Pipeline(candle_store(), load_stages(settings.PIPELINE_STAGES))
