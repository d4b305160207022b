"""Brings ledgers up to their candles that are behind them: after a long history was added.

A batch computes a bounded number of candles beyond its own, so a ledger may be left far behind the
candles, and only the next batch would go on: never, if the series is not followed. Here that is
done in short transactions through the same pipeline. One that is lost, killed or run twice leaves
ledgers that are right as far as they go.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from django.conf import settings
from django.db import DatabaseError

from factors import runtime as factors
from factors.domain.ledger import BringUp
from market import blocking, metrics
from market.bus.publish import publish_change
from market.domain.change import Change, Notice
from market.domain.series import SeriesId
from market.domain.store import SeriesDamaged
from market.ingest.ledgers import request_bring_up
from market.ingest.runtime import call, lease_store
from market.pipeline import PipelineError
from market.runtime import candle_store, pipeline
from market.singletons import once
from market.stores.postgres import read_rows
from overlays import runtime

log = logging.getLogger(__name__)

CANDLES = 1_000
"""Most candles that one transaction computes: live candles of the series wait for it."""

TURN_S = 10.0
"""So long one series is worked on before others get their turn."""

REST_S = 30.0
"""So long after its last revision a series counts as at rest: the next page of a fill would have
all that was computed behind it computed again."""

# Extended with each part. Should one take longer, two processes may take turns at the series: the
# lock of its transactions keeps its ledgers right.
CLAIM_S = 20.0

NOTHING = -1

BEHIND = """
SELECT name, head_time, epoch, factor_time, drawn_time, fingerprint FROM (
    SELECT name, series.head_time, series.epoch, facts.fingerprint,
        coalesce(facts.head_time, -1) AS factor_time, coalesce(drawn.head_time, -1) AS drawn_time
    FROM series LEFT JOIN factor_state AS facts ON facts.series_id = series.id
        LEFT JOIN overlay_state AS drawn ON drawn.series_id = series.id
) AS heads
WHERE (factor_time < head_time OR %s AND drawn_time < head_time) AND (%s OR name = ANY(%s))
"""


class Lag(NamedTuple):
    """How far the ledgers of a series in an epoch are (open times), and its candles."""

    head: int
    epoch: int
    factor: int
    drawn: int
    fingerprint: str | None

    @property
    def reached(self) -> int:
        """The newest candle that all ledgers hold; -1 before the first."""
        stages = settings.SWITCHES.enable_overlay_ingest
        return min(self.factor, self.drawn) if stages else self.factor


def behind(among: Collection[SeriesId] | None = None) -> dict[SeriesId, Lag]:
    """The series of which a ledger lacks candles that can be added now. Blocking.

    Not those that wait for `manage.py rebuild`.
    """
    switches = settings.SWITCHES
    if not switches.enable_factor_ingest:
        return {}
    found = _stored(among) if switches.enable_pg_store else _in_memory(among)
    if switches.enable_factor_fingerprint_rebuild:
        return found
    fingerprint = {each: factors.engines().of(each).fingerprint for each in found}
    return {
        each: lag for each, lag in found.items() if lag.fingerprint in (None, fingerprint[each])
    }


def _stored(among: Collection[SeriesId] | None) -> dict[SeriesId, Lag]:
    names = [str(each) for each in among or ()]
    wanted = (settings.SWITCHES.enable_overlay_ingest, among is None, names)
    return {SeriesId.parse(name): Lag(*lag) for name, *lag in read_rows(BEHIND, wanted)}


def _in_memory(among: Collection[SeriesId] | None) -> dict[SeriesId, Lag]:
    store = candle_store()
    found = {}
    for each in among or [stats.series for stats in store.series()]:
        head, epoch, _ = store.state(each)
        facts, drawn = factors.factor_ledger().position(each), runtime.head_time(each)
        lag = Lag(
            NOTHING if head is None else head,
            epoch,
            NOTHING if facts is None else facts.head_time,
            NOTHING if drawn is None else drawn,
            None if facts is None else facts.fingerprint,
        )
        if lag.reached < lag.head:
            found[each] = lag
    return found


class Rest:
    """Since when the past of each series that is behind has not changed, as this process saw it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since: dict[SeriesId, tuple[int, float]] = {}

    def among(self, lags: Mapping[SeriesId, Lag]) -> list[SeriesId]:
        """Those whose past has rested for REST_S, the shortest first; forgets all others."""
        now, before = self._clock(), self._since
        self._since = {
            each: before[each]
            if each in before and before[each][0] == lag.epoch
            else (lag.epoch, now)
            for each, lag in lags.items()
        }
        found = [each for each, (_, since) in self._since.items() if now - since >= REST_S]
        return sorted(found, key=partial(_missing, lags))


def _missing(lags: Mapping[SeriesId, Lag], series: SeriesId) -> int:
    return (lags[series].head - lags[series].reached) // series.timeframe.seconds


@once
def rest() -> Rest:
    """What this process has seen."""
    return Rest()


async def bring_up(series: SeriesId, *, stopping: Callable[[], bool] = lambda: False) -> None:
    """Bring up one series now, and request that it goes on if that takes more than a turn."""
    if await _turn(series, stopping) and not stopping():
        await request_bring_up(series)


async def bring_up_all(*, stopping: Callable[[], bool]) -> None:
    """Bring up what is behind and at rest, for one turn; the next round goes on there."""
    until = time.monotonic() + TURN_S
    for series in rest().among(await blocking.run(behind)):
        if stopping() or time.monotonic() > until:
            return
        await _turn(series, stopping)


async def _turn(series: SeriesId, stopping: Callable[[], bool]) -> bool:
    """Work on a series unless another process does; True if there is more to do."""
    marker = _marker(series)
    if not await call(partial(lease_store().claim, marker, ttl=CLAIM_S)):
        return False
    try:
        return await _parts(series, stopping)
    except (PipelineError, SeriesDamaged, DatabaseError, TimeoutError) as error:
        log.warning("%s: its ledgers stay behind: %s", series, getattr(error, "reason", error))
        return False
    finally:
        await call(lease_store().unclaim, marker)


async def _parts(series: SeriesId, stopping: Callable[[], bool]) -> bool:
    """Compute for one turn and publish; True if there is more to do."""
    until = time.monotonic() + TURN_S
    began = lag = await blocking.run(_lag, series)
    change = None
    while lag is not None and not stopping() and time.monotonic() < until:
        await call(partial(lease_store().extend_claim, _marker(series), ttl=CLAIM_S))
        change = await blocking.run(pipeline().rerun, series, BringUp(CANDLES))
        await publish_change(change)
        before, lag = lag, await blocking.run(_lag, series)
        if lag == before:
            log.warning("%s: its ledgers stay behind at %d", series, lag.reached)
            return False
    if began is not None and change is not None:
        await _announce(change, began)
    return lag is not None


def _marker(series: SeriesId) -> str:
    return f"ledgers:{series}"


def _lag(series: SeriesId) -> Lag | None:
    return behind([series]).get(series)


async def _announce(change: Change, began: Lag) -> None:
    """Notify watchers once a turn: without a candle, nothing else does."""
    data = {"series_id": str(change.series), "from_time": began.reached + 1}
    notice = Notice("factor.rebuild", "factors caught up with the candles", data)
    metrics.NOTICES.inc(1, notice.event)
    await publish_change(replace(change, notices=[notice]))
