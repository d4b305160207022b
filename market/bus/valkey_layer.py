"""The channel layer on Valkey: publish and subscribe, in the names of this installation.

With several addresses each series has one of them. While one is unreachable its series are polled
from the store (market.live.hub), and the others are not affected.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, NamedTuple

from channels_redis.pubsub import (
    RedisPubSubChannelLayer,
    RedisPubSubLoopLayer,
    RedisSingleShardConnection,
)
from channels_redis.utils import _wrap_close
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from typing_extensions import override

from market import identity
from market.bus.metrics import BUS_LOST

log = logging.getLogger(__name__)

# After a failure calls of an address fail at once for so long, rather than each by its timeout.
AWAY_S = 1.0
POLL_S = 0.1
# Messages of one round trip, and how long it may take.
MOST_AT_ONCE = 500
SEND_S = 5.0
# A call that takes longer meets an address that does not answer.
SLOW_S = 1.0


class BusAway(ConnectionError):
    """The address failed a moment ago and is not tried yet."""


class _Outgoing(NamedTuple):
    """A message that waits, and what its publisher waits for."""

    channel: str
    message: bytes
    done: asyncio.Future[None]


def _settle(batch: Iterable[_Outgoing], error: Exception | None) -> None:
    for each in batch:
        if each.done.done():
            # Its publisher does not wait any more.
            continue
        if error is None:
            each.done.set_result(None)
        else:
            each.done.set_exception(error)


class Address(RedisSingleShardConnection):  # type: ignore[misc]  # untyped
    """The connections of one event loop to one address."""

    _away_until = 0.0

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._outgoing: list[_Outgoing] = []
        self._is_sending = False
        self._sender: asyncio.Task[None] | None = None
        self._publisher: Any = None

    @override
    async def publish(self, channel: str, message: bytes) -> None:
        """Publish at once, or with all others that came while messages were on their way."""
        if self._is_sending:
            outgoing = _Outgoing(channel, message, asyncio.get_running_loop().create_future())
            self._outgoing.append(outgoing)
            await outgoing.done
            return
        self._is_sending = True
        try:
            await self._unless_away(self._publish_one, channel, message)
        finally:
            if self._outgoing:
                self._sender = asyncio.create_task(self._send_outgoing())
            else:
                self._is_sending = False

    async def _send_outgoing(self) -> None:
        try:
            while self._outgoing:
                batch, self._outgoing = self._outgoing[:MOST_AT_ONCE], self._outgoing[MOST_AT_ONCE:]
                try:
                    async with asyncio.timeout(SEND_S):
                        await self._unless_away(self._publish_all, batch)
                except Exception as error:
                    _settle(batch, error)
                else:
                    _settle(batch, None)
        finally:
            # Also where the loop ends and cancels this task.
            self._is_sending = False
            left, self._outgoing = self._outgoing, []
            _settle(left, BusAway("the process ends"))

    async def _publish_one(self, channel: str, message: bytes) -> None:
        """Publish over a connection that is kept: a turn of the pool costs more than the call."""
        async with self._lock:
            self._ensure_redis()
            if self._publisher is None:
                self._publisher = await self._redis.connection_pool.get_connection()
            is_fresh = not self._publisher.is_connected
            try:
                await self._call("PUBLISH", channel, message)
            except (RedisConnectionError, OSError):
                if is_fresh:
                    raise
                # The server may have closed it since the last call.
                await self._call("PUBLISH", channel, message)

    async def _call(self, *command: str | bytes) -> None:
        # A call that fails or is cancelled ends the connection, and the next one connects again.
        await self._publisher.send_command(*command, check_health=False)
        await self._publisher.read_response()

    @override
    async def flush(self) -> None:
        await super().flush()
        self._publisher = None

    async def _publish_all(self, batch: Sequence[_Outgoing]) -> None:
        async with self._lock:
            self._ensure_redis()
            async with self._redis.pipeline(transaction=False) as calls:
                for each in batch:
                    calls.publish(each.channel, each.message)
                await calls.execute()

    @override
    async def subscribe(self, channel: str) -> None:
        await self._unless_away(super().subscribe, channel)

    @override
    async def _do_receiving(self) -> None:
        """Receive messages; redis-py subscribes again when the address is back."""
        is_lost = False
        while True:
            try:
                if not (self._pubsub and self._pubsub.subscribed):
                    await asyncio.sleep(POLL_S)
                    continue
                await self._receive_next()
                is_lost = False
            except (RedisError, OSError) as error:
                if not is_lost:
                    BUS_LOST.inc()
                    log.warning("lost the bus, its candles are polled: %s", error)
                is_lost = True
                await asyncio.sleep(AWAY_S)

    async def _receive_next(self) -> None:
        """Hand on the next message, if one comes soon; connect again where that is due."""
        connection = self._pubsub.connection
        if not connection.is_connected:
            self._receive_message(
                await self._pubsub.get_message(ignore_subscribe_messages=True, timeout=POLL_S)
            )
            return
        # The same read without the client's layers around it, which cost a message more than this.
        try:
            response = await connection.read_response(timeout=POLL_S, push_request=True)
        except (RedisConnectionError, OSError):
            # It is closed now: the next call connects and subscribes again, at once.
            return
        if response is None:
            return
        if response[0] == b"message":
            _, channel, data = response
            self._receive_message({"channel": channel, "data": data})
        else:
            await self._pubsub.handle_message(response, ignore_subscribe_messages=True)

    async def _unless_away(self, call: Callable[..., Awaitable[None]], *arguments: object) -> None:
        if time.monotonic() < self._away_until:
            raise BusAway("the bus failed a moment ago")
        began_at = time.monotonic()
        try:
            await call(*arguments)
        except (RedisError, OSError, TimeoutError):
            self._away_until = time.monotonic() + AWAY_S
            raise
        except asyncio.CancelledError:
            # A caller's timeout arrives as a cancellation. An earlier one is the caller's own end,
            # and must not keep others from publishing.
            if time.monotonic() - began_at > SLOW_S:
                self._away_until = time.monotonic() + AWAY_S
            raise


class LoopLayer(RedisPubSubLoopLayer):  # type: ignore[misc]  # untyped
    """The layer of one event loop.

    Its channels are queues of this process that only groups deliver to. Subscribing to their names
    would make every series depend on the address that a name happens to have.
    """

    def __init__(self, hosts: list[dict[str, Any]], **options: Any) -> None:
        super().__init__(hosts, **options)
        self._shards = [Address(host, self) for host in hosts]

    @override
    async def _subscribe_to_channel(self, channel: str) -> None:
        self.channels[channel] = asyncio.Queue()


class ValkeyLayer(RedisPubSubChannelLayer):  # type: ignore[misc]  # untyped
    """One layer for each event loop, made once the installation's id is known."""

    @override
    def _get_layer(self) -> LoopLayer:
        loop = asyncio.get_running_loop()
        layer: LoopLayer | None = self._layers.get(loop)
        if layer is None:
            prefix = identity.prefix()
            layer = LoopLayer(**self._kwargs, prefix=prefix, channel_layer=self)
            self._layers[loop] = layer
            _wrap_close(self, loop)
        return layer

    async def new_channel(self, prefix: str = "hub.") -> str:
        """Return the name of a new queue of this process."""
        return str(await (await self._layer()).new_channel(prefix))

    async def receive(self, channel: str) -> dict[str, Any]:
        """Return the next message of a queue."""
        message: dict[str, Any] = await (await self._layer()).receive(channel)
        return message

    async def group_add(self, group: str, channel: str) -> None:
        """Subscribe to a group. Raises when its address is unreachable."""
        await (await self._layer()).group_add(group, channel)

    async def group_discard(self, group: str, channel: str) -> None:
        """End a subscription."""
        await (await self._layer()).group_discard(group, channel)

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        """Publish to a group. Raises when its address is unreachable."""
        await (await self._layer()).group_send(group, message)

    async def _layer(self) -> LoopLayer:
        if asyncio.get_running_loop() not in self._layers:
            await identity.known_prefix()
        return self._get_layer()
