"""This process's hub, created on the event loop that serves its watchers."""

from __future__ import annotations

import asyncio
from weakref import WeakKeyDictionary

from channels.layers import get_channel_layer
from django.conf import settings
from django.utils.module_loading import import_string

from market import blocking
from market.bus.publish import deliver_here
from market.domain.series import SeriesId
from market.ingest.coverage import repair_gap
from market.ingest.presence import Load
from market.live.debug import stop_debug_feed
from market.live.health import HealthFeed
from market.live.heartbeats import heartbeats
from market.live.hub import Hub
from market.live.reads import RepairGap
from market.runtime import candle_store

REPAIR_TIMEOUT_S = 5.0

_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()
_feeds: WeakKeyDictionary[asyncio.AbstractEventLoop, HealthFeed] = WeakKeyDictionary()


def current_hub() -> Hub:
    """The hub of the running event loop, started on first use."""
    loop = asyncio.get_running_loop()
    if (hub := _hubs.get(loop)) is None:
        switches = settings.SWITCHES
        repair: RepairGap | None = _repair if switches.enable_market_gap_backfill else None
        hub = _hubs[loop] = Hub(
            candle_store(),
            get_channel_layer(),
            run_blocking=blocking.run,
            catchup_limit=switches.market_ws_catchup_limit,
            check_interval=switches.hub_check_interval_s,
            repair_gap=repair,
            repair_limit=switches.market_gap_backfill_read_limit,
            read_drawn=import_string(settings.READ_DRAWN) if switches.enable_ws_push else None,
        )
        hub.start()
        deliver_here(hub.take)
    return hub


def health_feed() -> HealthFeed | None:
    """The health feed of the running event loop, beside its hub; None where nothing is pushed."""
    loop = asyncio.get_running_loop()
    if settings.SWITCHES.enable_ws_push and loop not in _feeds:
        read = import_string(settings.READ_HEALTH)
        _feeds[loop] = HealthFeed(read, blocking.run, current_hub().subscriptions_of)
    return _feeds.get(loop)


def load() -> Load:
    """The watchers and subscriptions of this process; from any thread."""
    loads = [hub.load for hub in list(_hubs.values())]
    return Load(sum(one.watchers for one in loads), sum(one.subscriptions for one in loads))


async def shut_down() -> None:
    """Close every watcher with 1001, so that it resumes elsewhere, and stop the hub."""
    await heartbeats().stop()
    await stop_debug_feed()
    feed = _feeds.pop(asyncio.get_running_loop(), None)
    if feed is not None:
        await feed.stop()
    hub = _hubs.pop(asyncio.get_running_loop(), None)
    if hub is not None:
        hub.close_watchers(1001, "server_shutdown")
        await hub.stop()


async def _repair(series: SeriesId, start: int, end: int) -> bool:
    return await repair_gap(series, start, end, REPAIR_TIMEOUT_S)
