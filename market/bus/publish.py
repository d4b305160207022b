"""Publishes committed changes and forming candles on the bus.

Publishing never raises: the store holds the candles already, and a hub that misses a message reads
them there (market.live.hub). This process's own hub, if there is one, gets closed candles directly;
it skips the repeat that the bus brings later.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from weakref import WeakKeyDictionary

from channels.layers import get_channel_layer
from redis.exceptions import RedisError

from market.bus import metrics
from market.bus.messages import (
    BusMessage,
    ClosedCandles,
    FormingCandle,
    encode,
    group_of,
    messages_of,
)
from market.domain.candle import Candle
from market.domain.change import Change
from market.domain.series import SeriesId

logger = logging.getLogger(__name__)

BUS_TIMEOUT_S = 5.0

_here: WeakKeyDictionary[asyncio.AbstractEventLoop, Callable[[BusMessage], object]]
_here = WeakKeyDictionary()


def deliver_here(take: Callable[[BusMessage], object]) -> None:
    """Pass closed candles that are published on the running event loop to `take` as well."""
    _here[asyncio.get_running_loop()] = take


async def publish_change(change: Change) -> None:
    """Publish a committed change to every web instance."""
    for message in messages_of(change):
        if not await _send(message):
            return


async def publish_forming(series: SeriesId, candle: Candle) -> None:
    """Publish a forming candle; it is not stored."""
    await _send(FormingCandle(series, candle))


async def _send(message: BusMessage) -> bool:
    mapping = {**encode(message), "sent_at": time.time()}
    take = _here.get(asyncio.get_running_loop())
    if take is not None and isinstance(message, ClosedCandles) and take(message):
        metrics.delivered(mapping)
    layer = get_channel_layer()
    try:
        async with asyncio.timeout(BUS_TIMEOUT_S):
            await layer.group_send(group_of(message.series), mapping)
    except Exception as error:
        # A traceback helps with a fault of ours only, not with a server that is away.
        is_away = isinstance(error, RedisError | OSError)
        why = str(error) or type(error).__name__
        logger.warning(
            "bus unreachable, %s not published: %s", message.series, why, exc_info=not is_away
        )
        metrics.BUS_PUBLISHED.inc(1, mapping["type"], "error")
        return False
    metrics.BUS_PUBLISHED.inc(1, mapping["type"], "ok")
    if isinstance(message, ClosedCandles):
        candles = message.candles
        metrics.candles_published(message.series, len(candles), candles[-1].candle_time)
    return True
