"""The ring of debug events, in memory and in Valkey, and what is put into it."""

from __future__ import annotations

import os
import uuid
from dataclasses import replace

import orjson
import pytest

from lab.waiting import wait_until
from market import debug_events
from market.debug_events import (
    BEGINNING,
    MAX_DATA_BYTES,
    RING_SIZE,
    MemoryRing,
    ValkeyRing,
    connect,
    emit,
)
from market.domain.series import SeriesId

BTC = SeriesId.parse("binance:futures:BTC/USDT:1m")


@pytest.fixture(params=["memory", "valkey"])
def ring(request):
    if request.param == "memory":
        yield MemoryRing()
        return
    name = uuid.uuid4().hex
    made = ValkeyRing(connect(os.environ["REDIS_URL"]), prefix=lambda: f"test:{name}:")
    yield made
    made.close()


def texts(ring, cursor=BEGINNING):
    return [int(each.event) for each in ring.after(cursor)]


def add(ring, numbers):
    for number in numbers:
        ring.add(b"%d" % number)
    wait_until(lambda: numbers[-1] in texts(ring), what="the last event in the ring")


def test_ring_has_the_events_in_order_and_those_after_a_place(ring):
    add(ring, range(1, 6))
    first, second, *_ = ring.after(BEGINNING)
    assert texts(ring) == [1, 2, 3, 4, 5]
    assert texts(ring, second.at) == [3, 4, 5]
    assert texts(ring, ring.after(BEGINNING)[-1].at) == []
    assert first.at < second.at


def test_ring_keeps_the_newest(ring):
    for start in range(0, RING_SIZE + 300, 100):
        add(ring, range(start, start + 100))
    assert texts(ring) == list(range(300, RING_SIZE + 300))


def test_rings_of_two_processes_are_one():
    name = uuid.uuid4().hex
    one, other = (
        ValkeyRing(connect(os.environ["REDIS_URL"]), prefix=lambda: f"test:{name}:")
        for _ in range(2)
    )
    add(one, [1])
    add(other, [2])
    assert texts(one) == texts(other) == [1, 2]
    one.close()
    other.close()


def test_ring_that_can_not_be_reached_drops_events_and_ends():
    ring = ValkeyRing(connect("redis://127.0.0.1:1"), prefix=lambda: "")
    for number in range(2 * RING_SIZE):
        ring.add(b"%d" % number)
    ring.close()
    assert not ring._thread.is_alive()


@pytest.fixture
def kept(monkeypatch):
    ring = MemoryRing()
    monkeypatch.setattr(debug_events, "debug_ring", lambda: ring)
    return lambda: [orjson.loads(each.event) for each in ring.after(BEGINNING)]


def test_event_has_the_fields_of_the_contract(kept):
    emit("write.factor.ingest_done", BTC, {"candles_read": 2}, message="done")
    emit("read.http.draw_delta.overlay_out_of_sync", level="warn")
    written, read = kept()
    assert isinstance(written.pop("ts_ms"), int)
    assert written == {
        "source": "backend",
        "pipe": "write",
        "event": "write.factor.ingest_done",
        "series_id": str(BTC),
        "level": "info",
        "message": "done",
        "data": {"candles_read": 2},
    }
    assert (read["pipe"], read["level"], read["series_id"]) == ("read", "warn", None)
    assert "data" not in read


def test_large_event_is_cut(kept):
    emit("write.x", data={"text": "x" * MAX_DATA_BYTES}, message="y" * 10_000)
    (event,) = kept()
    assert event["data"]["bytes"] > MAX_DATA_BYTES
    assert len(event["message"]) == debug_events.MAX_MESSAGE


def test_nothing_is_kept_with_the_switch_off(kept, settings):
    settings.SWITCHES = replace(settings.SWITCHES, enable_debug_api=False)
    emit("write.x")
    emit("write.x", BTC, lambda: pytest.fail("the data of an event was made"))
    assert kept() == []


def test_data_may_be_made_when_the_event_is_kept(kept):
    emit("write.x", BTC, lambda: {"candles_read": 2})
    (event,) = kept()
    assert event["data"] == {"candles_read": 2}
