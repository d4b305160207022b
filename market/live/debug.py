"""One connection on `/ws/debug`: the newest debug events, then each new one (docs/debug-stream.md).

Connections arrive here admitted; trade_canvas.edge.debug_admission leaves in their scope how to ask
whether they still are.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

import orjson
from django.conf import settings
from redis.exceptions import RedisError

from market import identity
from market.debug_events import BEGINNING, Cursor, DebugRing, Placed, debug_ring
from market.live import metrics
from market.live.frames import Frame
from market.live.messages import DebugEvent, DebugSnapshot
from market.live.wires import wire_for
from market.live.wires.port import Wire
from market.stopping import stop

log = logging.getLogger(__name__)

POLL_S = 0.25
RECHECK_S = 30.0
MOST_CLIENTS = 50
TOO_BIG = 1009
POLICY_VIOLATION = 1008
TRY_AGAIN = 1013

IS_ADMITTED = "trade_canvas.is_admitted"
"""Key of a connection's scope: a coroutine function that asks again whether it is admitted."""

IsAdmitted = Callable[[], Awaitable[bool]]


class Client:
    """A connection, and the place of the newest event that it was sent."""

    __slots__ = ("at", "is_admitted", "wire")

    def __init__(self, wire: Wire, is_admitted: IsAdmitted) -> None:
        self.wire = wire
        self.is_admitted = is_admitted
        self.at: Cursor | None = None


class DebugFeed:
    """Sends new events of a ring to its clients; looks for them while it has any. On one loop."""

    def __init__(self, ring: DebugRing, *, poll_s: float = POLL_S, recheck_s: float = RECHECK_S):
        self._ring = ring
        self._poll_s = poll_s
        self._recheck_s = recheck_s
        self._clients: set[Client] = set()
        self._at = BEGINNING
        self._task: asyncio.Task[None] | None = None

    @property
    def is_full(self) -> bool:
        """Whether another client would be one too many."""
        return len(self._clients) >= MOST_CLIENTS

    async def send_snapshot(self, client: Client) -> None:
        """Send the newest events; later ones follow until `leave`."""
        self._clients.add(client)
        try:
            found = await self._read(BEGINNING)
        except (RedisError, identity.IdentityUnknown) as error:
            log.warning("no debug events: %s", error)
            client.wire.close(TRY_AGAIN, "unavailable")
            return
        # They are stored as JSON.
        events: Any = [orjson.Fragment(each.event) for each in found]
        message: DebugSnapshot = {"type": "debug_snapshot", "events": events}
        _send(client, Frame.of(message))
        # What came meanwhile is read once more, for this client.
        client.at = found[-1].at if found else BEGINNING
        self._at = min(each.at for each in self._clients if each.at is not None)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="debug events")

    def leave(self, client: Client) -> None:
        """Send nothing more to a client."""
        self._clients.discard(client)

    async def stop(self) -> None:
        """Close every client with 1001, at the end of the process."""
        for client in self._clients:
            client.wire.close(1001, "server_shutdown")
        self._clients.clear()
        if self._task is not None:
            await stop([self._task])

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        recheck_at = loop.time() + self._recheck_s
        while self._clients:
            await asyncio.sleep(self._poll_s)
            with suppress(RedisError, identity.IdentityUnknown):
                self._deliver(await self._read(self._at))
            if loop.time() >= recheck_at:
                await self._recheck()
                recheck_at = loop.time() + self._recheck_s

    def _deliver(self, found: list[Placed]) -> None:
        for at, event in found:
            encoded: Any = orjson.Fragment(event)
            message: DebugEvent = {"type": "debug_event", "event": encoded}
            frame = Frame.of(message)
            for client in self._clients:
                if client.at is not None and client.at < at:
                    _send(client, frame)
                    client.at = at
        if found:
            self._at = found[-1].at

    async def _recheck(self) -> None:
        """Close the clients whose session has ended."""
        for client in list(self._clients):
            try:
                is_admitted = await client.is_admitted()
            except Exception as error:
                # While the database is away nothing can be said of a session.
                log.warning("a session on /ws/debug was not checked: %s", error)
                continue
            if not is_admitted:
                client.wire.close(POLICY_VIOLATION, "session_ended")

    async def _read(self, cursor: Cursor) -> list[Placed]:
        return list(await asyncio.to_thread(self._ring.after, cursor))


def _send(client: Client, frame: Frame) -> None:
    client.wire.send(frame)
    metrics.frame_sent(frame.types, len(frame.data), 1)


_feeds: WeakKeyDictionary[asyncio.AbstractEventLoop, DebugFeed] = WeakKeyDictionary()


def debug_feed() -> DebugFeed:
    """The feed of the running event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _feeds:
        _feeds[loop] = DebugFeed(debug_ring())
    return _feeds[loop]


async def stop_debug_feed() -> None:
    """End the feed of the running event loop, if there is one."""
    feed = _feeds.pop(asyncio.get_running_loop(), None)
    if feed is not None:
        await feed.stop()


async def serve_debug(
    scope: Any,
    receive: Callable[[], Awaitable[Any]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Serve a connection until either side ends it (an ASGI application)."""
    await receive()
    await send({"type": "websocket.accept", "headers": []})
    wire = wire_for(send, outbox_bytes=settings.SWITCHES.ws_outbox_bytes)
    client, feed = Client(wire, scope[IS_ADMITTED]), debug_feed()
    if feed.is_full:
        wire.close(TRY_AGAIN, "too_many_connections")
    else:
        await feed.send_snapshot(client)
    try:
        while (message := await receive())["type"] == "websocket.receive":
            text = message.get("text") or ""
            if len(text or message.get("bytes") or b"") > settings.SWITCHES.ws_max_message_bytes:
                wire.close(TOO_BIG, "message_too_big")
            elif wire.is_open and _is_subscribe(text):
                await feed.send_snapshot(client)
    finally:
        feed.leave(client)


def _is_subscribe(text: str) -> bool:
    """Whether a message asks for the snapshot again; any other is ignored."""
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return isinstance(message, dict) and message.get("type") == "subscribe"
