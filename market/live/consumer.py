"""One WebSocket connection on `/ws/market`: handles requests; the hub does the delivery.

This is plain ASGI. Channels' consumers clean up database connections in a thread before every
message, and take one queue per consumer from the channel layer: the hub exists to avoid both.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from django.conf import settings

from market.costs import cost_budget
from market.domain.lease_store import FollowRefused
from market.domain.series import SeriesAlias, SeriesId
from market.domain.store import SeriesDamaged
from market.domain.throttle import Throttle
from market.ingest.derive import first_fill
from market.ingest.leases import keeper
from market.live import metrics
from market.live.current import current_hub, health_feed
from market.live.frames import error_frame
from market.live.heartbeats import heartbeats
from market.live.messages import SocketErrorCode
from market.live.requests import BadRequest, Hello, Subscribe, parse_request, series_of_subscribe
from market.live.watcher import Watcher
from market.live.wires import wire_for
from market.log_context import REQUEST_ID
from market.networks import network_of
from market.singletons import once

logger = logging.getLogger(__name__)

TOO_BIG = 1009
POLICY_VIOLATION = 1008

# A client that goes on after this many messages were refused for their rate is closed.
MAX_REFUSED = 200

# How many seconds' worth of messages may come at once.
BURST_S = 2
# Entries are dropped with their connections; this only has to exceed what a process can serve.
MAX_CONNECTIONS = 1_000_000


@once
def message_rate() -> Throttle[Watcher]:
    """The limit of messages per second of each connection."""
    per_s = settings.SWITCHES.ws_messages_per_s
    return Throttle(1 / per_s, burst=BURST_S * per_s, max_keys=MAX_CONNECTIONS)


async def serve_watcher(
    scope: Any,
    receive: Callable[[], Awaitable[Any]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Serve a connection until either side ends it (an ASGI application)."""
    await receive()
    request_id = REQUEST_ID.get()
    headers = [(b"x-request-id", request_id.encode())] if request_id else []
    await send({"type": "websocket.accept", "headers": headers})
    watcher = Watcher(wire_for(send, outbox_bytes=settings.SWITCHES.ws_outbox_bytes))
    client = scope.get("client")
    connection = Connection(watcher, network_of(str(client[0])) if client else "")
    metrics.WATCHERS.inc()
    try:
        while (message := await receive())["type"] == "websocket.receive":
            await connection.handle(message)
    finally:
        metrics.WATCHERS.inc(-1)
        await connection.leave()


class Connection:
    """The requests of one watcher; `address` is what quotas count it by."""

    __slots__ = ("_address", "_health", "_hub", "_refused", "_watcher")

    def __init__(self, watcher: Watcher, address: str) -> None:
        self._watcher = watcher
        self._address = address
        self._hub = current_hub()
        self._health = health_feed()
        self._refused = 0

    async def handle(self, message: dict[str, Any]) -> None:
        """Carry out a client's message, or answer it with an error frame."""
        text = message.get("text")
        if len(text or message.get("bytes") or "") > settings.SWITCHES.ws_max_message_bytes:
            self._watcher.wire.close(TOO_BIG, "message_too_big")
        elif message_rate().admit(self._watcher):
            self._refused += 1
            if self._refused > MAX_REFUSED:
                self._watcher.wire.close(POLICY_VIOLATION, "message_rate")
            else:
                series = series_of_subscribe(text)
                self._error(SocketErrorCode.RATE_LIMITED, "too many messages, slow down", series)
        elif text is None:
            self._error(SocketErrorCode.BAD_REQUEST, "binary frames are not supported")
        else:
            await self._carry_out(text)

    async def leave(self) -> None:
        """End the watcher's subscriptions and their leases."""
        message_rate().forget(self._watcher)
        heartbeats().end(self._watcher.wire)
        if self._health is not None:
            self._health.end(self._watcher)
        followed = self._hub.leave(self._watcher)
        metrics.DISCONNECTS.inc()
        metrics.DISCONNECT_SERIES.set(len(followed))
        metrics.DISCONNECT_UNSUBSCRIBES.inc(len(followed), "ok")
        for series in followed:
            await keeper().release(series, self._address)

    async def _carry_out(self, text: str) -> None:
        try:
            request = parse_request(text)
        except BadRequest as error:
            self._error(SocketErrorCode.BAD_REQUEST, str(error))
            return
        if isinstance(request, Hello):
            self._greet(request)
            return
        started = time.perf_counter()
        if isinstance(request, Subscribe):
            metrics.subscribed(await self._charged(request), started)
        else:
            metrics.unsubscribed(await self._unsubscribe(request.series), started)

    def _greet(self, request: Hello) -> None:
        if request.heartbeat:
            heartbeats().begin(self._watcher.wire)
        else:
            heartbeats().end(self._watcher.wire)
        if self._health is None:
            return
        if request.health:
            self._health.begin(self._watcher)
        else:
            self._health.end(self._watcher)

    async def _unsubscribe(self, series: SeriesId | None) -> str:
        if series is None or series not in self._hub.subscriptions_of(self._watcher):
            return "noop"
        self._hub.unsubscribe(self._watcher, series)
        await keeper().release(series, self._address)
        return "ok"

    async def _charged(self, request: Subscribe) -> str:
        """Subscribe, if the address has processor time left for a catch-up."""
        if not request.series.is_canonical:
            alias = SeriesAlias(request.series)
            code = SocketErrorCode.SERIES_ALIAS
            self._error(code, str(alias), request.series, canonical=alias.canonical)
            return code
        budget = cost_budget()
        if budget is None:
            return await self._subscribe(request)
        if budget.wait_s(self._address):
            code = SocketErrorCode.RATE_LIMITED
            self._error(code, "too much was read, slow down", request.series)
            return code
        with budget.charged(self._address):
            return await self._subscribe(request)

    async def _subscribe(self, request: Subscribe) -> str:
        """Subscribe, or send why not; return the result for the metrics."""
        series, leases = request.series, keeper()
        followed = self._hub.subscriptions_of(self._watcher)
        if series not in followed:
            if len(followed) >= settings.SWITCHES.ws_max_subscriptions:
                self._error(SocketErrorCode.TOO_MANY_SUBSCRIPTIONS, "unsubscribe first", series)
                return "too_many"
            try:
                await leases.acquire(series, self._address)
            except FollowRefused as refused:
                self._error(SocketErrorCode(refused.code), refused.reason, series)
                return refused.code
        await first_fill(series)
        try:
            await self._hub.subscribe(
                self._watcher,
                series,
                since=request.since,
                supports_batch=request.supports_batch,
                epoch=request.epoch,
                generation=request.generation,
                drawings=request.drawings,
            )
        except asyncio.CancelledError:
            # The server ended the connection during its catch-up.
            await leases.release(series, self._address)
            raise
        except Exception as error:
            if isinstance(error, SeriesDamaged):
                logger.warning("catch-up failed: %s", error)
            else:
                logger.exception("catch-up of %s failed", series)
            await leases.release(series, self._address)
            self._error(SocketErrorCode.UNAVAILABLE, "catch-up failed, subscribe again", series)
            return "error"
        if self._health is not None:
            self._health.subscribed(self._watcher, series)
        return "ok"

    def _error(
        self,
        code: SocketErrorCode,
        message: str,
        series: SeriesId | None = None,
        *,
        canonical: SeriesId | None = None,
    ) -> None:
        frame = error_frame(code, message, series, canonical=canonical)
        self._watcher.wire.send(frame)
        metrics.frame_sent(frame.types, len(frame.data), 1)
