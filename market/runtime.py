"""The store and the pipeline of this process, as the switches configure them."""

from __future__ import annotations

from functools import lru_cache

from django.conf import settings

from market.committer import Committer
from market.domain.derived import DerivedBook
from market.domain.retention import Bounds, oldest_kept, parse_retention
from market.domain.rollup import NONE_DERIVED, DerivedTimeframes
from market.domain.series import SeriesId
from market.domain.store import CandleStore
from market.pipeline import Pipeline, load_stages
from market.singletons import once
from market.stores.derived_memory import MemoryDerivedBook
from market.stores.derived_postgres import PostgresDerivedBook
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


@once
def derived_book() -> DerivedBook:
    """The derived book beside the candle store."""
    return PostgresDerivedBook() if settings.SWITCHES.enable_pg_store else MemoryDerivedBook()


def derived_timeframes() -> DerivedTimeframes:
    """Which timeframes are derived: none with the switch off."""
    switches = settings.SWITCHES
    if not switches.enable_derived_timeframes:
        return NONE_DERIVED
    return parsed_timeframes(switches.derived_base_timeframe, switches.derived_timeframes)


@lru_cache(maxsize=16)
def parsed_timeframes(base: str, derived: str) -> DerivedTimeframes:
    """The settings as timeframes; they are asked for with every candle."""
    return DerivedTimeframes.parse(base, derived)


@once
def committer() -> Committer:
    """Where every closed candle of this process enters the pipeline."""
    return Committer(pipeline())


def retention_bounds() -> Bounds:
    """How long candles are kept, by timeframe."""
    switches = settings.SWITCHES
    return _parsed_bounds(switches.retention, switches.least_kept_candles)


@lru_cache(maxsize=16)
def _parsed_bounds(text: str, least_candles: int) -> Bounds:
    return parse_retention(text, least_candles=least_candles)


def oldest_wanted(series: SeriesId, newest: int) -> int:
    """The oldest open time that is fetched for a series whose newest candle is `newest`."""
    return oldest_kept(retention_bounds(), series.timeframe, newest)
