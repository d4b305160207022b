"""When the calls of one address of the bus fail at once, and how messages are received."""

from __future__ import annotations

import asyncio
import os
from contextlib import closing

import pytest
from redis import Redis

from lab.waiting import wait_until
from market.bus import valkey_layer
from market.bus.valkey_layer import Address, BusAway, LoopLayer, ValkeyLayer

GROUP = b"ending__group__series"


@pytest.fixture
def address(monkeypatch):
    """An address that answers on every channel but two."""

    async def publish(self, channel, message):
        sent.append([channel])
        await go.wait()
        if channel == "refused":
            raise ConnectionRefusedError
        if channel == "silent":
            await asyncio.Event().wait()

    async def publish_all(self, batch):
        channels = [each.channel for each in batch]
        sent.append(channels)
        if "refused" in channels:
            raise ConnectionRefusedError

    sent: list[list[str]] = []
    go = asyncio.Event()
    go.set()
    monkeypatch.setattr(Address, "_publish_one", publish)
    monkeypatch.setattr(Address, "_publish_all", publish_all)
    made = Address({"address": "redis://127.0.0.1:1"}, None)
    made.sent, made.go = sent, go
    return made


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


async def published(address, *channels):
    """Publish on all channels while a first message is on its way."""
    address.go.clear()
    tasks = [asyncio.create_task(address.publish(each, b"")) for each in ("open", *channels)]
    await asyncio.sleep(0)
    address.go.set()
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_messages_that_come_meanwhile_are_published_together(address):
    assert await published(address, *"abc") == [None] * 4
    assert address.sent == [["open"], ["a", "b", "c"]]
    # The next one waits for nothing.
    await address.publish("d", b"")
    assert address.sent[2:] == [["d"]]


async def test_messages_of_one_round_trip_are_bounded(address, monkeypatch):
    monkeypatch.setattr(valkey_layer, "MOST_AT_ONCE", 2)
    await published(address, *"abc")
    assert address.sent == [["open"], ["a", "b"], ["c"]]


async def test_failure_is_raised_to_every_publisher(address):
    results = await published(address, "a", "refused")
    assert [type(each) for each in results] == [type(None), *[ConnectionRefusedError] * 2]
    with pytest.raises(BusAway):
        await address.publish("open", b"")


async def test_publisher_that_ends_takes_no_other_with_it(address):
    address.go.clear()
    first, second, third = (asyncio.create_task(address.publish(each, b"")) for each in "abc")
    await asyncio.sleep(0)
    first.cancel()
    second.cancel()
    await third
    assert address.sent[1:] == [["b", "c"]]


async def test_connection_that_ends_is_replaced_at_once(caplog):
    hosts = [{"address": os.environ["REDIS_URL"]}]
    layer = LoopLayer(hosts=hosts, prefix="ending", channel_layer=ValkeyLayer(hosts=hosts))
    with closing(Redis.from_url(os.environ["REDIS_URL"])) as admin:

        def subscribers():
            ids = {each["id"] for each in admin.client_list(_type="pubsub")}
            return ids if dict(admin.pubsub_numsub(GROUP))[GROUP] else set()

        async def until_subscribed(before):
            def is_back():
                return subscribers() - before

            await asyncio.to_thread(wait_until, is_back, 10.0, "a new subscription")

        channel = await layer.new_channel()
        await layer.group_add("series", channel)
        await until_subscribed(set())
        for number in range(3):
            await layer.group_send("series", {"number": number})
            assert await layer.receive(channel) == {"number": number}
            before = subscribers()
            admin.client_kill_filter(_type="pubsub")
            await until_subscribed(before)
    await layer.flush()
    assert "lost the bus" not in caplog.text
