"""The health of candles and ledgers of many series: implements market.live.health.ReadHealth."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings

from factors.health import Heads, health, read_heads
from market.api.derived import bucket_answer
from market.api.health import series_health
from market.domain.derived import Incomplete
from market.domain.lease_store import IDLE, BackfillProgress, LeaseStoreUnavailable
from market.domain.series import SeriesId
from market.ingest.derived_standing import standings
from market.ingest.halted import halted_markets
from market.ingest.runtime import lease_store
from market.live.health import Health
from market.live.messages import HealthFields
from market.runtime import derived_book, derived_timeframes
from market.stores.postgres import read_rows

# A candle that is late by less than this counts as there: one closes before it arrives.
GRACE_S = 3

# Of partial candles the newest are named; the rest are in GET /api/market/derived.
MOST_PARTIAL = 100

HEADS = """
SELECT name, series.head_time, nullif(facts.head_time, -1), nullif(drawn.head_time, -1)
FROM series LEFT JOIN factor_state AS facts ON facts.series_id = series.id
    LEFT JOIN overlay_state AS drawn ON drawn.series_id = series.id
WHERE name = ANY(%s)
"""


def read_health(series: Sequence[SeriesId]) -> dict[SeriesId, Health]:
    """The health of several series at this moment."""
    heads, now = _heads(series), int(time.time())
    market = _market({each: heads[each].store for each in series}, now)
    partial = _partial(series)
    return {
        each: _health(market.get(each), health(each, heads[each]), partial.get(each))
        for each in series
    }


def _partial(series: Sequence[SeriesId]) -> dict[SeriesId, list[Incomplete]]:
    """The newest partial candles of the derived series among these, where such are kept."""
    if not settings.SWITCHES.enable_derived_partial_candles:
        return {}
    base_of = derived_timeframes().base_of
    derived = [each for each in series if base_of(each) is not None]
    if not derived:
        return {}
    found = derived_book().newest_incomplete(derived, limit=MOST_PARTIAL)
    return {each: found.get(each, []) for each in derived}


def _heads(series: Sequence[SeriesId]) -> dict[SeriesId, Heads]:
    if not settings.SWITCHES.enable_pg_store:
        return {each: read_heads(each) for each in series}
    rows = read_rows(HEADS, ([str(each) for each in series],))
    found = {name: Heads(*heads) for name, *heads in rows}
    return {each: found.get(str(each), Heads(None, None, None)) for each in series}


def _market(heads: Mapping[SeriesId, int | None], now: int) -> dict[SeriesId, dict[str, Any]]:
    """The answers of /api/market/health; none where that is switched off."""
    switches = settings.SWITCHES
    if not (switches.enable_kline_health_v2 or switches.enable_debug_api):
        return {}
    times = {}
    for each, head in heads.items():
        is_current = head is not None and head >= each.timeframe.latest_closed(now)
        times[each] = now if is_current else now - GRACE_S
    halted, standing = halted_markets().among(heads), standings(heads, now=now)

    def answer(each: SeriesId, backfill: BackfillProgress) -> dict[str, Any]:
        return series_health(
            each,
            heads[each],
            now=times[each],
            backfill=backfill,
            is_halted=each in halted,
            standing=standing.get(each),
        )

    found = {each: answer(each, IDLE) for each in heads}
    late = [each for each, known in found.items() if known["status"] != "green"]
    return found | {each: answer(each, progress) for each, progress in _progress(late).items()}


def _progress(series: Sequence[SeriesId]) -> Mapping[SeriesId, BackfillProgress]:
    try:
        return lease_store().progress_of(series)
    except LeaseStoreUnavailable:
        return {}


def _health(
    market: dict[str, Any] | None,
    factor: dict[str, Any],
    partial: Sequence[Incomplete] | None,
) -> Health:
    signature: list[Any] = [factor["status_reason"], factor["max_delay_candles"]]
    if market is not None:
        backfill = market["backfill"]
        percent = backfill["progress_pct"]
        signature += [market["status_reason"], market["missing_candles"], backfill["state"]]
        signature += ["is_halted" in market, market.get("derived", {}).get("state")]
        signature.append(None if percent is None else int(percent))
    fields: HealthFields = {"market": market, "factor": factor}
    if partial is not None:
        signature.append(tuple(partial))
        fields["partial"] = [bucket_answer(each) for each in partial]
    return Health(tuple(signature), fields)
