"""The store and the pipeline of this process, as the switches configure them."""

from __future__ import annotations

from django.conf import settings

from market.domain.identity import Identity
from market.domain.store import CandleStore
from market.pipeline import Pipeline, load_stages
from market.singletons import once
from market.stores import installation
from market.stores.memory import MemoryCandleStore
from market.stores.postgres import PostgresCandleStore


@once
def candle_store() -> CandleStore:
    """The candle store: PostgreSQL with its switch on, memory otherwise."""
    if settings.SWITCHES.enable_pg_store:
        return PostgresCandleStore()
    return MemoryCandleStore(_memory_identity().generation)


@once
def pipeline() -> Pipeline:
    """The pipeline with the stages that settings name."""
    return Pipeline(candle_store(), load_stages(settings.PIPELINE_STAGES))


def identity() -> Identity:
    """The identity of the store as it is now. Blocking, one query; see `read_identity`."""
    if settings.SWITCHES.enable_pg_store:
        return installation.read_identity()
    return _memory_identity()


@once
def _memory_identity() -> Identity:
    """Memory begins anew with each process, and so does its identity."""
    return Identity.random()
