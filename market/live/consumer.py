"""One WebSocket connection on ``/ws/market``: reads requests, leaves delivery to the hub."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from channels.consumer import AsyncConsumer
from django.conf import settings

from market.domain.lease_store import CapacityRefused
from market.domain.series import SeriesId
from market.ingest.leases import keeper
from market.live import metrics
from market.live.current import current_hub
from market.live.frames import error_frame
from market.live.requests import BadRequest, Subscribe, parse_request
from market.live.wires import Watcher, wire_for
from market.log_context import REQUEST_ID

logger = logging.getLogger(__name__)

TOO_BIG = 1009
POLICY_VIOLATION = 1008

# A client that keeps on after this many messages were refused for their rate is closed.
MAX_REFUSED = 200


class MessageRate:
    """A token bucket over a connection's messages: `per_s` a second, twice that in a burst."""

    __slots__ = ("_at", "_left", "_per_s", "refused")

    def __init__(self, per_s: int) -> None:
        self._per_s = per_s
        self._left = 2.0 * per_s
        self._at = time.monotonic()
        self.refused = 0

    def admits(self) -> bool:
        """Whether another message is within the rate; counts it either way."""
        now = time.monotonic()
        self._left = min(2.0 * self._per_s, self._left + (now - self._at) * self._per_s)
        self._at = now
        if self._left < 1:
            self.refused += 1
            return False
        self._left -= 1
        return True


class MarketConsumer(AsyncConsumer):  # type: ignore[misc]  # Channels has no types.
    """The endpoint of contract ws-protocol.md 1.

    It takes nothing from the channel layer: that, and the database clean-up that Channels does in
    a thread before every message, is what the hub exists to avoid.
    """

    async def __call__(
        self,
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[dict[str, Any]]],
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        """Serve the connection until either side ends it."""
        switches = settings.SWITCHES
        self._hub = current_hub()
        self._leases = keeper()
        self._rate = MessageRate(switches.ws_messages_per_s)
        self._max_bytes = switches.ws_max_message_bytes
        self._max_subscriptions = switches.ws_max_subscriptions
        await receive()
        request_id = REQUEST_ID.get()
        headers = [(b"x-request-id", request_id.encode())] if request_id else []
        await send({"type": "websocket.accept", "headers": headers})
        self._watcher = Watcher(wire_for(send, outbox_bytes=switches.ws_outbox_bytes))
        metrics.WATCHERS.inc()
        try:
            while (message := await receive())["type"] == "websocket.receive":
                await self._answer(message)
        finally:
            metrics.WATCHERS.inc(-1)
            await self._leave()

    async def _leave(self) -> None:
        followed = self._hub.leave(self._watcher)
        metrics.DISCONNECTS.inc()
        metrics.DISCONNECT_SERIES.set(len(followed))
        metrics.DISCONNECT_UNSUBSCRIBES.inc(len(followed), "ok")
        for series in followed:
            await self._leases.release(series)

    async def _answer(self, message: dict[str, Any]) -> None:
        text = message.get("text")
        if len(text or message.get("bytes") or "") > self._max_bytes:
            self._watcher.wire.close(TOO_BIG, "message_too_big")
        elif not self._rate.admits():
            self._refuse_rate()
        elif text is None:
            self._error("bad_request", "binary frames are not supported")
        else:
            await self._obey(text)

    def _refuse_rate(self) -> None:
        if self._rate.refused > MAX_REFUSED:
            self._watcher.wire.close(POLICY_VIOLATION, "message_rate")
        else:
            self._error("rate_limited", "too many messages, slow down")

    async def _obey(self, text: str) -> None:
        try:
            request = parse_request(text)
        except BadRequest as error:
            self._error("bad_request", str(error))
            return
        started = time.perf_counter()
        if isinstance(request, Subscribe):
            metrics.subscribed(await self._subscribe(request), started)
        else:
            metrics.unsubscribed(await self._unsubscribe(request.series), started)

    async def _unsubscribe(self, series: SeriesId | None) -> str:
        if series is None or series not in self._hub.subscriptions_of(self._watcher):
            return "noop"
        self._hub.unsubscribe(self._watcher, series)
        await self._leases.release(series)
        return "ok"

    async def _subscribe(self, request: Subscribe) -> str:
        """Do it, or tell the watcher why not; answer how that ended."""
        followed = self._hub.subscriptions_of(self._watcher)
        is_new = request.series not in followed
        if is_new and len(followed) >= self._max_subscriptions:
            self._error("too_many_subscriptions", "unsubscribe first", request.series)
            return "too_many"
        if is_new and not await self._take_lease(request.series):
            return "capacity"
        try:
            await self._hub.subscribe(
                self._watcher,
                request.series,
                since=request.since,
                supports_batch=request.supports_batch,
                epoch=request.epoch,
            )
        except asyncio.CancelledError:
            # The server gave up on a connection whose catch-up was under way.
            await self._leases.release(request.series)
            raise
        except Exception:
            logger.exception("catch-up of %s failed", request.series)
            await self._leases.release(request.series)
            self._error("unavailable", "catch-up failed, subscribe again", request.series)
            return "error"
        return "ok"

    async def _take_lease(self, series: SeriesId) -> bool:
        try:
            await self._leases.acquire(series)
        except CapacityRefused:
            self._error("capacity", "ondemand_ingest_capacity", series)
            return False
        return True

    def _error(self, code: str, message: str, series: SeriesId | None = None) -> None:
        frame = error_frame(code, message, None if series is None else str(series))
        self._watcher.wire.send(frame)
        metrics.frame_sent(frame.types, len(frame.data), 1)
