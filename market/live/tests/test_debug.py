"""Connections on `/ws/debug` get the newest events, and each later one once."""

from __future__ import annotations

import json

import pytest

from lab.waiting import eventually
from market.debug_events import MemoryRing
from market.live.debug import Client, DebugFeed
from market.live.tests.fakes import RecordingWire


@pytest.fixture
def ring():
    return MemoryRing()


@pytest.fixture
async def feed(ring):
    made = DebugFeed(ring, poll_s=0.01, recheck_s=0.01)
    yield made
    await made.stop()


def client(is_admitted=True):
    async def admitted():
        return is_admitted

    return Client(RecordingWire(), admitted)


def seen(client):
    """The numbers of the last snapshot, and of the events after it."""
    *_, snapshot = client.wire.of_type("debug_snapshot")
    later = [each["event"] for each in client.wire.of_type("debug_event")]
    return snapshot["events"], later


def add(ring, *numbers):
    for number in numbers:
        ring.add(json.dumps(number).encode())


async def test_clients_get_a_snapshot_then_each_event_once(ring, feed):
    add(ring, 1, 2)
    early, late = client(), client()
    await feed.send_snapshot(early)
    add(ring, 3)
    await eventually(lambda: seen(early)[1] == [3], what="the event")
    await feed.send_snapshot(late)
    add(ring, 4, 5)
    await eventually(lambda: seen(late)[1] == [4, 5], what="the events")
    await eventually(lambda: seen(early)[1] == [3, 4, 5], what="the events")
    assert seen(early)[0] == [1, 2]
    assert seen(late)[0] == [1, 2, 3]


async def test_client_that_joins_during_a_delivery_misses_nothing(ring, feed):
    early, late = client(), client()
    await feed.send_snapshot(early)
    read = feed._read

    async def slow_read(cursor):
        found = await read(cursor)
        add(ring, 1)
        await eventually(lambda: seen(early)[1] == [1], what="the event at the other client")
        return found

    feed._read = slow_read
    joining = feed.send_snapshot(late)
    feed_read, feed._read = feed._read, read

    async def once(cursor):
        feed._read = read
        return await feed_read(cursor)

    feed._read = once
    await joining
    await eventually(lambda: seen(late) == ([], [1]), what="the event")
    assert seen(early)[1] == [1]


async def test_client_that_left_gets_nothing_more(ring, feed):
    gone, other = client(), client()
    await feed.send_snapshot(gone)
    await feed.send_snapshot(other)
    feed.leave(gone)
    add(ring, 1)
    await eventually(lambda: seen(other)[1] == [1], what="the event")
    assert seen(gone)[1] == []


async def test_client_whose_session_ended_is_closed(ring, feed):
    ended, other = client(is_admitted=False), client()
    await feed.send_snapshot(ended)
    await feed.send_snapshot(other)
    await eventually(lambda: ended.wire.closed, what="the close")
    assert ended.wire.closed == (1008, "session_ended")
    assert other.wire.closed is None


async def test_end_of_the_process_closes_with_1001(ring, feed):
    one = client()
    await feed.send_snapshot(one)
    await feed.stop()
    assert one.wire.closed == (1001, "server_shutdown")
