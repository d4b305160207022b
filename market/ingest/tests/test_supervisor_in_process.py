"""Ingest inside the web process, with memory stores and the local exchange through ccxt."""

from __future__ import annotations

import asyncio
import json

import pytest

from lab.waiting import eventually, patience
from market.domain.series import SeriesId
from market.ingest import leases
from market.ingest.coverage import repair_gap, request_tail
from market.ingest.leases import keeper
from market.ingest.runtime import lease_store
from market.ingest.supervisor import ingest_state, start_in_process, stop_in_process
from market.local_exchange.generated import GeneratedCandles
from market.local_exchange.server import running_exchange
from market.runtime import candle_store

PINNED = SeriesId.parse("sim:spot:BTC/USDT:1s")
WATCHED = SeriesId.parse("sim:futures:ETH/USDT:1s")
SLOW_S = 20.0


@pytest.fixture
def alone(switched, settings, tmp_path):
    """One process with nothing but memory, ingesting from a local exchange."""
    whitelist = tmp_path / "whitelist.json"
    whitelist.write_text(json.dumps([str(PINNED)]))
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
    settings.REDIS_URL = ""
    with running_exchange(GeneratedCandles(7), push_ms=100) as exchange:
        switched(
            enable_pg_store=False,
            enable_ws_pubsub=False,
            enable_whitelist_ingest=True,
            enable_ondemand_ingest=True,
            enable_ccxt_backfill=True,
            whitelist_path=str(whitelist),
            sim_url=exchange.url,
            reconcile_interval_s=0.1,
            startup_kline_sync_target_candles=100,
        )
        yield exchange


def head(series):
    return candle_store().state(series).head


async def test_process_alone_follows_pinned_and_watched_series_and_ends(alone):
    await start_in_process()
    await start_in_process()
    await keeper().acquire(WATCHED)
    await eventually(lambda: head(PINNED) and head(WATCHED), SLOW_S)
    before = head(WATCHED)
    await eventually(lambda: head(WATCHED) > before, SLOW_S)
    await eventually(lambda: all(job["running"] for job in ingest_state()["jobs"]))
    assert {job["series_id"]: job["refcount"] for job in ingest_state()["jobs"]} == {
        str(PINNED): -1,
        str(WATCHED): 1,
    }
    async with asyncio.timeout(patience(5)):
        await stop_in_process()
    assert candle_store().gaps(WATCHED) == []
    assert not any(job["running"] for job in ingest_state()["jobs"])
    await keeper().close()


async def test_process_alone_completes_a_tail_and_repairs_a_gap(alone):
    unwatched = SeriesId.parse("sim:spot:DOGE/USDT:1m")
    await start_in_process()
    # False until the exchange's listing is read.
    await eventually(lambda: request_tail(unwatched, 10), SLOW_S)
    await eventually(lambda: candle_store().count(unwatched) == 10, SLOW_S)
    await eventually(lambda: lease_store().progress(unwatched).state == "succeeded")
    first = candle_store().first(unwatched)
    assert await repair_gap(unwatched, first - 180, first - 60, SLOW_S)
    assert candle_store().count(unwatched) == 13
    await stop_in_process()
    assert not await repair_gap(unwatched, first - 600, first - 540, 1.0)
    assert isinstance(leases.keeper(), leases.LeaseKeeper)
