"""Heartbeats go to the connections that asked for them, and to no others."""

from __future__ import annotations

import pytest

from lab.waiting import eventually
from market.live.heartbeats import Heartbeats
from market.live.requests import BadRequest, Hello, parse_request
from market.live.tests.fakes import RecordingWire


@pytest.fixture
async def heartbeats():
    made = Heartbeats(interval_s=0.01, clock=lambda: 1700000000.9)
    yield made
    await made.stop()


async def test_heartbeats_follow_one_another_until_they_end(heartbeats):
    wire, other = RecordingWire(), RecordingWire()
    heartbeats.begin(wire)
    heartbeats.begin(other)
    assert wire.messages == [{"type": "heartbeat", "time": 1700000000}]
    await eventually(lambda: len(wire.messages) >= 3, what="three heartbeats")
    heartbeats.end(wire)
    received, others = len(wire.messages), len(other.messages)
    await eventually(lambda: len(other.messages) >= others + 3, what="three more")
    assert len(wire.messages) == received


async def test_connection_that_is_behind_gets_none(heartbeats):
    behind, other = RecordingWire(), RecordingWire()
    behind.behind = True
    heartbeats.begin(behind)
    heartbeats.begin(other)
    await eventually(lambda: len(other.messages) >= 2, what="two heartbeats")
    assert behind.messages == []


async def test_heartbeats_begin_again_after_the_last_connection_left(heartbeats):
    first, second = RecordingWire(), RecordingWire()
    heartbeats.begin(first)
    heartbeats.end(first)
    heartbeats.begin(second)
    await eventually(lambda: len(second.messages) >= 3, what="three heartbeats")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('{"type":"hello","heartbeat":true}', True),
        ('{"type":"hello","heartbeat":false}', False),
        ('{"type":"hello"}', False),
    ],
)
def test_hello_shows_whether_the_client_wants_heartbeats(text, wanted):
    assert parse_request(text) == Hello(wanted)


def test_hello_with_another_value_is_refused():
    with pytest.raises(BadRequest, match="invalid heartbeat"):
        parse_request('{"type":"hello","heartbeat":1}')
