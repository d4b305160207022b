"""Derived series in this process: made after each commit of their base, and on demand.

Nothing here is awaited by the base's own watchers: its candles are published first. What fails, or
is cut short by the end of the process, is left to the next change and to `catch_up_all`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator

from django.conf import settings
from django.db import DatabaseError

from market import blocking
from market.bus import publish
from market.domain.change import Change
from market.domain.series import SeriesId
from market.domain.store import SeriesDamaged
from market.domain.throttle import Throttle
from market.ingest.derivation import Derivation
from market.pipeline import PipelineError
from market.runtime import (
    candle_store,
    committer,
    derived_book,
    derived_timeframes,
    pipeline,
)
from market.singletons import once

log = logging.getLogger(__name__)

FILL_INTERVAL_S = 1.0

# Forming candles are not stored, so there is nothing to derive after them.
publish_forming = publish.publish_forming


@once
def _fills() -> Throttle[SeriesId]:
    """When a first fill of each series was last tried: watchers may ask for it at any rate."""
    return Throttle(FILL_INTERVAL_S)


@once
def derivation() -> Derivation:
    """The derivation of this process, as the switches say."""
    switches = settings.SWITCHES
    return Derivation(
        store=candle_store(),
        pipeline=pipeline(),
        book=derived_book(),
        timeframes=derived_timeframes(),
        first_candles=switches.derived_backfill_base_candles,
        keeps_partial=switches.enable_derived_partial_candles,
    )


def source_range(series: SeriesId, start: int, end: int) -> tuple[SeriesId, int, int]:
    """What to fetch for a range of candles: of a derived series the range of its base."""
    base = derived_timeframes().base_of(series)
    if base is None:
        return series, start, end
    last = series.timeframe.close_of(end) - base.timeframe.seconds
    return base, series.timeframe.open_of(start), last


async def publish_change(change: Change) -> None:
    """Publish a committed change, then make and publish what is derived of it; never raises."""
    await publish.publish_change(change)
    await derive(change)


async def derive(change: Change, *, publishes: bool = True) -> None:
    """Make what is derived of a committed change, and publish it; never raises."""
    if not settings.SWITCHES.enable_derived_timeframes:
        return
    due = derivation().due(change)
    # Together, and with those of other bases whose candles close in the same moment.
    await asyncio.gather(*(_derive(each, change, publishes=publishes) for each in due))


async def _derive(series: SeriesId, change: Change, *, publishes: bool) -> None:
    try:
        for work in derivation().work(series, change):
            made = await committer().ingest_made(series, work)
            if publishes and not made.is_empty:
                await publish.publish_change(made)
    except (PipelineError, SeriesDamaged, DatabaseError, TimeoutError) as error:
        log.warning("%s: deriving is left to later: %s", series, getattr(error, "reason", error))


def brought_up(series: Iterable[SeriesId], change: Change | None = None) -> list[Change]:
    """Bring derived series up to their base; one that fails does not affect others. Blocking."""
    done: list[Change] = []
    for each in series:
        _collect(done, each, derivation().bring_up(each, change))
    return done


async def first_fill(series: SeriesId) -> None:
    """Make a derived series that has no candle yet from its base's newest; never raises."""
    if derived_timeframes().base_of(series) is None or _fills().admit(series):
        return
    try:
        for change in await blocking.run(_first_filled, series):
            await publish.publish_change(change)
    except (DatabaseError, TimeoutError) as error:
        log.warning("%s: the first fill is left to later: %s", series, error)


def _first_filled(series: SeriesId) -> list[Change]:
    base = derived_timeframes().source_of(series)
    states = candle_store().states([series, base])
    is_needed = states[series].head is None and states[base].head is not None
    return brought_up([series]) if is_needed else []


async def catch_up_all(*, stopping: Callable[[], bool]) -> int:
    """Make what derived series lack, and the history before their first fills.

    Returns how many series were behind.
    """
    if not settings.SWITCHES.enable_derived_timeframes:
        return 0
    behind = await blocking.run(_behind)
    for series in behind:
        if stopping():
            break
        for change in await blocking.run(_caught_up, series):
            await publish.publish_change(change)
    return len(behind)


def _behind() -> list[SeriesId]:
    """The derived series that lack something. Blocking."""
    timeframes = derived_timeframes()
    known = {
        series: (base, progress)
        for series, progress in derived_book().known().items()
        if (base := timeframes.base_of(series))
    }
    states = candle_store().states({base for base, _ in known.values()})
    return [
        series
        for series, (base, progress) in known.items()
        if derivation().is_behind(series, progress, states[base])
    ]


def _caught_up(series: SeriesId) -> list[Change]:
    done: list[Change] = []
    _collect(done, series, derivation().bring_up(series))
    _collect(done, series, derivation().extend(series))
    return done


def _collect(done: list[Change], series: SeriesId, changes: Iterator[Change]) -> None:
    try:
        done.extend(change for change in changes if not change.is_empty)
    except (PipelineError, SeriesDamaged, DatabaseError) as error:
        log.warning("%s: deriving is left to later: %s", series, getattr(error, "reason", error))
