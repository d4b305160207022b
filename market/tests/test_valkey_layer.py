"""When the calls of one address of the bus fail at once."""

from __future__ import annotations

import asyncio

import pytest
from channels_redis.pubsub import RedisSingleShardConnection

from market.bus import valkey_layer
from market.bus.valkey_layer import Address, BusAway


@pytest.fixture
def address(monkeypatch):
    """An address that answers on every channel but two."""

    async def publish(self, channel, message):
        if channel == "refused":
            raise ConnectionRefusedError
        if channel == "silent":
            await asyncio.Event().wait()

    monkeypatch.setattr(RedisSingleShardConnection, "publish", publish)
    return Address({"address": "redis://127.0.0.1:1"}, None)


async def cancelled_publish(address):
    publishing = asyncio.create_task(address.publish("silent", b""))
    await asyncio.sleep(0)
    publishing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await publishing


async def test_address_that_failed_is_not_tried_for_a_moment(address):
    with pytest.raises(ConnectionRefusedError):
        await address.publish("refused", b"")
    with pytest.raises(BusAway):
        await address.publish("open", b"")


async def test_publisher_that_ends_keeps_no_other_from_publishing(address):
    await cancelled_publish(address)
    await address.publish("open", b"")


async def test_address_that_is_silent_for_long_is_not_tried_for_a_moment(address, monkeypatch):
    monkeypatch.setattr(valkey_layer, "SLOW_S", -1.0)
    await cancelled_publish(address)
    with pytest.raises(BusAway):
        await address.publish("open", b"")
