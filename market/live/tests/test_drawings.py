"""Drawings over the hub: after their candles, in order, and never across a gap."""

from __future__ import annotations

import asyncio

import pytest

from lab.waiting import eventually
from market.live.drawings import MAX_RECENT, Drawn, DrawnAt
from market.live.hub import Hub
from market.live.tests.fakes import RecordingWire, World, settle
from market.live.watcher import Watcher
from market.tests.builders import MINUTE, candle, candles

NOW = 10**6


class Pen:
    """Draws every candle of a store at once; `ahead` and `behind` move what it has drawn."""

    def __init__(self, store):
        self.store = store
        self.takebacks = 0
        self.is_behind = False
        self.is_away = False
        self.is_big = False
        self.asked = []

    def read(self, known):
        self.asked.append(dict(known))
        if self.is_away:
            raise ConnectionError("the store is away")
        return {series: self.drawn(series, at) for series, at in known.items()}

    def drawn(self, series, known):
        head, epoch, generation = self.store.state(series)
        if head is None or self.is_behind:
            return Drawn(None)
        cursor = head + 1_000_000 * self.takebacks
        at = DrawnAt(cursor, head, epoch, generation, self.takebacks)
        if known is None or known.takebacks != self.takebacks or self.is_big:
            return Drawn(at)
        return Drawn(at, {"removed_ids": [], "instruction_catalog_patch": [known.cursor, cursor]})


@pytest.fixture
async def world():
    return World()


@pytest.fixture
async def pen(world):
    return Pen(world.store)


@pytest.fixture
async def hub(world, pen):
    made = Hub(
        world.store,
        world.layer,
        run_blocking=world.run_blocking,
        check_interval=3600,
        now=lambda: NOW,
        read_drawn=pen.read,
    )
    made.start()
    yield made
    await made.stop()


async def follow(hub, since=None, drawings=0, **known):
    watcher = Watcher(RecordingWire())
    await hub.subscribe(
        watcher, MINUTE, since=since, supports_batch=True, drawings=drawings, **known
    )
    await settle()
    return watcher


async def close(world, *times):
    for time in times:
        world.announce(MINUTE, candles(time))
        await settle()


def story(watcher):
    """What was sent of candles and drawings, in order."""
    told = []
    for message in watcher.wire.messages:
        if message["type"] == "candle_closed":
            told.append(message["candle"]["candle_time"])
        elif message["type"] == "draw_cursor":
            told.append(("at", message["cursor"]))
        elif message["type"] == "draw_delta":
            told.append((message["previous_cursor"], message["cursor"]))
    return told


async def test_change_follows_each_candle(world, hub):
    world.ingest(MINUTE, candles(60))
    watcher = await follow(hub, since=60)
    await close(world, 120, 180)
    assert story(watcher) == [("at", 60), 120, (60, 120), 180, (120, 180)]
    delta = watcher.wire.of_type("draw_delta")[-1]
    assert delta == {
        "type": "draw_delta",
        "series_id": str(MINUTE),
        "previous_cursor": 120,
        "cursor": 180,
        "to_candle_time": 180,
        "epoch": 0,
        "generation": world.store.state(MINUTE).generation,
        "removed_ids": [],
        "instruction_catalog_patch": [120, 180],
    }


async def test_others_get_what_they_always_got(world, hub, pen):
    world.ingest(MINUTE, candles(60))
    watcher = await follow(hub, since=60, drawings=None)
    await close(world, 120)
    assert [message["type"] for message in watcher.wire.messages] == ["candle_closed"]
    assert pen.asked == []


async def test_one_read_serves_all(world, hub, pen):
    world.ingest(MINUTE, candles(60))
    watchers = [await follow(hub, since=60) for _ in range(20)]
    pen.asked.clear()
    await close(world, 120)
    assert len(pen.asked) == 1
    assert [story(each) for each in watchers] == [[("at", 60), 120, (60, 120)]] * 20


async def test_client_overtaken_by_changes_gets_them(world, hub):
    world.ingest(MINUTE, candles(60))
    await follow(hub, since=60)
    await close(world, 120, 180)
    late = await follow(hub, since=180, drawings=60)
    assert story(late) == [(60, 120), (120, 180), ("at", 180)]
    assert story(await follow(hub, since=180, drawings=180)) == [("at", 180)]
    assert story(await follow(hub, since=180, drawings=59)) == [("at", 180)]
    other = await follow(hub, since=180, drawings=60, generation="another")
    assert ("at", 180) in story(other) and (60, 120) not in story(other)


async def test_changes_kept_for_late_clients_are_bounded(world, hub):
    world.ingest(MINUTE, candles(60))
    await follow(hub, since=60)
    await close(world, *range(120, 60 * (MAX_RECENT + 4), 60))
    assert story(await follow(hub, since=10**5, drawings=60))[0][0] == "at"


async def test_drawings_behind_the_candles_are_announced_and_come_back(world, hub, pen):
    world.ingest(MINUTE, candles(60))
    watcher = await follow(hub, since=60)
    pen.is_behind = True
    await close(world, 120)
    pen.is_behind = False
    await close(world, 180)
    assert story(watcher) == [("at", 60), 120, ("at", None), 180, ("at", 180)]


@pytest.mark.parametrize("field", ["takebacks", "is_big"])
async def test_without_a_change_that_leads_there_the_cursor_is_sent(world, hub, pen, field):
    world.ingest(MINUTE, candles(60))
    watcher = await follow(hub, since=60)
    setattr(pen, field, 1)
    await close(world, 120)
    cursor = pen.drawn(MINUTE, None).at.cursor
    assert story(watcher) == [("at", 60), 120, ("at", cursor)]


async def test_drawings_never_come_before_their_candle(world, hub):
    world.ingest(MINUTE, candles(60))
    watcher = await follow(hub, since=60)
    first = world.ingest(MINUTE, candles(120))
    second = world.ingest(MINUTE, candles(180))
    # The read after the first sees what the second drew.
    for message in first:
        world.layer.deliver(message)
    await settle()
    assert story(watcher) == [("at", 60), 120]
    for message in second:
        world.layer.deliver(message)
    await settle()
    assert story(watcher) == [("at", 60), 120, 180, (60, 180)]


async def test_revision_is_followed_by_the_new_cursor(world, hub, pen):
    world.ingest(MINUTE, candles(60, 120))
    watcher = await follow(hub, since=120)
    pen.takebacks = 1
    world.announce(MINUTE, [candle(60, close=1.75)])
    await settle()
    kinds = [message["type"] for message in watcher.wire.messages]
    assert kinds == ["draw_cursor", "system", "draw_cursor"]


async def test_client_that_does_not_read_is_sent_the_cursor_when_it_does(world, hub):
    world.ingest(MINUTE, candles(60))
    slow, quick = await follow(hub, since=60), await follow(hub, since=60)
    slow.wire.behind = True
    await close(world, 120, 180)
    slow.wire.behind = False
    await eventually(lambda: ("at", 180) in story(slow))
    await close(world, 240)
    assert story(slow) == [("at", 60), 120, 180, ("at", 180), 240, (180, 240)]
    assert (60, 120) in story(quick)


async def test_candles_do_not_wait_for_drawings(world, hub, pen, monkeypatch):
    world.ingest(MINUTE, candles(60))
    watcher = await follow(hub, since=60)
    gate = asyncio.Event()

    async def held(work, *args):
        await gate.wait()
        return work(*args)

    monkeypatch.setattr(hub._drawings, "_run_blocking", held)
    await close(world, 120, 180)
    assert story(watcher) == [("at", 60), 120, 180]
    gate.set()
    await settle()
    assert story(watcher) == [("at", 60), 120, 180, (60, 180)]


async def test_failed_read_is_tried_again(world, hub, pen, monkeypatch):
    monkeypatch.setattr("market.live.drawings.RETRY_S", 0.01)
    world.ingest(MINUTE, candles(60))
    watcher = await follow(hub, since=60)
    pen.is_away = True
    await close(world, 120)
    pen.is_away = False
    await eventually(lambda: (60, 120) in story(watcher))


async def test_nothing_is_read_after_the_last_client_left(world, hub, pen):
    world.ingest(MINUTE, candles(60))
    watcher, other = await follow(hub, since=60), await follow(hub, since=60, drawings=None)
    hub.leave(watcher)
    pen.asked.clear()
    await close(world, 120)
    assert pen.asked == []
    assert other.wire.closed_times() == [120]


async def test_other_generation_has_no_change_leading_there(world, hub, pen):
    world.ingest(MINUTE, candles(60))
    watcher = await follow(hub, since=60)
    before = pen.asked[0]
    world.fail_over(MINUTE, generation="another")
    pen.store = world.store
    await hub.check()
    await settle()
    assert before == {MINUTE: None}
    last = watcher.wire.of_type("draw_cursor")[-1]
    assert last["generation"] == "another"
