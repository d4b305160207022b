"""Following by the contract: what is reported, in which order, and what is asked for."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from lab.waiting import patience
from trade_canvas_client import (
    AsyncClient,
    Closed,
    ConnectionFailed,
    FactorsRebuilt,
    Forming,
    Gap,
    Interrupted,
    Live,
    NotAllowed,
    Reset,
    Retry,
    Revised,
    SubscriptionRefused,
    follow,
)
from trade_canvas_client.tests.scripted_server import (
    HEARTBEAT,
    SERIES,
    ScriptedServer,
    batch,
    closed,
    forming,
    revised,
)

QUICK = Retry(attempts=2, first_s=0.01, most_s=0.02)


@pytest.fixture
async def server():
    async with ScriptedServer().running() as started:
        started.put(60, 120, 180)
        yield started


@pytest.fixture
async def client(server):
    async with AsyncClient(server.url, retry=QUICK, trust_env=False) as made:
        yield made


async def updates_until(following, is_last):
    """Return the updates up to the one that is awaited."""
    found = []
    async with asyncio.timeout(patience(10)), aclosing(following):
        async for update in following:
            found.append(update)
            if is_last(update):
                return found


def is_closed(time):
    return lambda update: isinstance(update, Closed) and update.candle.candle_time == time


def short(updates):
    """Return times for closed candles, and kinds for everything else but lost connections."""
    return [
        each.candle.candle_time if isinstance(each, Closed) else type(each)
        for each in updates
        if not isinstance(each, Interrupted)
    ]


async def test_history_comes_before_what_is_live(server, client):
    server.scripts = [[HEARTBEAT, closed(240), batch(300, 360)]]
    found = await updates_until(client.follow(SERIES, since=60), is_closed(360))
    assert short(found) == [120, 180, Live, 240, 300, 360]
    (subscribed,) = server.connections
    assert (subscribed["since"], subscribed["epoch"], subscribed["generation"]) == (180, 0, "g")


async def test_without_since_only_what_closes_from_now_on(server, client):
    server.scripts = [[closed(240)]]
    found = await updates_until(client.follow(SERIES), lambda update: isinstance(update, Live))
    assert short(found) == [240, Live]


async def test_repeats_and_late_messages_are_dropped(server, client):
    server.scripts = [[closed(180), closed(240), batch(180, 240), forming(240), closed(300)]]
    found = await updates_until(client.follow(SERIES, since=180, forming=True), is_closed(300))
    assert short(found) == [Live, 240, 300]


async def test_forming_candles_only_when_asked_for(server, client):
    server.scripts = [[HEARTBEAT, forming(240), closed(240), closed(300)]]
    found = await updates_until(client.follow(SERIES, since=180, forming=True), is_closed(300))
    assert short(found) == [Live, Forming, 240, 300]
    found = await updates_until(client.follow(SERIES, since=180), is_closed(300))
    assert short(found) == [Live, 240, 300]


async def test_a_hole_is_read_before_it_is_reported(server, client):
    """Of 240 to 420 the store has 300: two gaps, and the live candle once."""
    gap = {"type": "gap", "series_id": SERIES, "expected_next_time": 240, "actual_time": 420}
    server.scripts = [
        [HEARTBEAT, lambda: server.put(300, 420), gap, closed(420), closed(480)],
    ]
    found = await updates_until(client.follow(SERIES, since=180), is_closed(480))
    assert short(found) == [Live, Gap, 300, Gap, 420, 480]
    assert [each for each in found if isinstance(each, Gap)] == [Gap(240, 300), Gap(360, 420)]


async def test_hole_that_no_message_reports_is_found(server, client):
    server.scripts = [[HEARTBEAT, lambda: server.put(240, 300), closed(300)]]
    found = await updates_until(client.follow(SERIES, since=180), is_closed(300))
    assert short(found) == [Live, 240, 300]


def revise(server, epoch, **closes):
    def step():
        server.epoch = epoch
        server.stored |= {int(time[1:]): close for time, close in closes.items()}

    return step


async def test_a_revision_is_read_again(server, client):
    change = revise(server, 4, t120=1.25, t240=1.5)
    server.scripts = [[HEARTBEAT, change, revised(60, 4), closed(240), 1001], [closed(300)]]
    found = await updates_until(client.follow(SERIES, since=60, start=60), is_closed(300))
    assert short(found) == [120, 180, Live, Revised, 240, 300]
    (update,) = [each for each in found if isinstance(each, Revised)]
    assert update.from_time == 60
    assert [(each.candle_time, each.close) for each in update.candles] == [
        (60, 1.5),
        (120, 1.25),
        (180, 1.5),
    ]
    assert [each["epoch"] for each in server.connections] == [0, 4]


async def test_revisions_before_what_the_caller_has_bring_no_candles(server, client):
    server.scripts = [[HEARTBEAT, revise(server, 1, t60=1.75), revised(60, 1), closed(240)]]
    found = await updates_until(client.follow(SERIES, since=180), is_closed(240))
    (update,) = [each for each in found if isinstance(each, Revised)]
    assert (update.from_time, len(update.candles)) == (60, 0)


async def test_epoch_is_kept_only_after_the_revision_was_taken(server, client):
    """The connection ends while it is read: the next one begins with the older epoch."""
    refuse = lambda: server.refusals.append((503, {}, {"code": "store_unavailable"}))  # noqa: E731
    server.scripts = [
        [HEARTBEAT, revise(server, 3, t120=1.25), refuse, revised(120, 3)],
        [HEARTBEAT, revised(120, 3), closed(240)],
    ]
    found = await updates_until(client.follow(SERIES, since=180, start=60), is_closed(240))
    assert [each["epoch"] for each in server.connections] == [0, 0]
    assert [each.candles.epoch for each in found if isinstance(each, Revised)] == [3]


async def test_another_past_replaces_everything(server, client):
    def restore():
        server.generation, server.epoch = "h", 0
        server.stored = {60: 1.25, 120: 1.5}

    server.scripts = [[HEARTBEAT, closed(240), restore, revised(0, 0), closed(180), closed(300)]]
    found = await updates_until(client.follow(SERIES, since=0), is_closed(300))
    assert short(found) == [60, 120, 180, Live, 240, Reset, 180, Gap, 300]
    (update,) = [each for each in found if isinstance(each, Reset)]
    assert [each.close for each in update.candles] == [1.25, 1.5]
    assert update.candles.generation == "h"


async def test_another_past_is_noticed_over_http_too(server, client):
    following = client.follow(SERIES, since=180, start=60, epoch=7, generation="before")
    server.scripts = [[closed(240)]]
    found = await updates_until(following, is_closed(240))
    assert short(found) == [Reset, 240]
    assert server.connections[0]["generation"] == "g"


@pytest.mark.parametrize("code", [1001, 1013, 4008, 1011])
async def test_every_close_is_followed_by_a_resume(server, client, code):
    server.scripts = [[HEARTBEAT, closed(240), code], [closed(240), closed(300)]]
    found = await updates_until(client.follow(SERIES, since=180), is_closed(300))
    assert short(found) == [Live, 240, Live, 300]
    (lost,) = [each for each in found if isinstance(each, Interrupted)]
    assert str(code) in lost.reason
    assert [each["since"] for each in server.connections] == [180, 240]


async def test_a_silent_connection_is_replaced(server, client, monkeypatch):
    """Only where heartbeats came: an older server may be silent for long."""
    monkeypatch.setattr(follow, "SILENT_S", 0.05)
    server.scripts = [[HEARTBEAT], [closed(240)]]
    found = await updates_until(client.follow(SERIES, since=180), is_closed(240))
    assert [type(each) for each in found] == [Live, Interrupted, Closed]


async def test_a_server_that_does_not_know_hello_is_followed(server, client):
    unknown = {"type": "error", "code": "bad_request", "message": "unknown message type: hello"}
    server.scripts = [[unknown, closed(240)]]
    found = await updates_until(client.follow(SERIES, since=180), is_closed(240))
    assert short(found) == [Live, 240]


@pytest.mark.parametrize("code", ["unknown_symbol", "exchange_not_served", "bad_request"])
async def test_refusals_that_last_are_raised(server, client, code):
    server.scripts = [[{"type": "error", "code": code, "message": "no", "series_id": SERIES}]]
    with pytest.raises(SubscriptionRefused) as refused:
        await updates_until(client.follow(SERIES, since=180), lambda _: False)
    assert refused.value.code == code


async def test_without_room_history_is_polled(server, client, monkeypatch):
    monkeypatch.setattr(follow, "REFUSED_PAUSE_S", 0.01)
    refused = {"type": "error", "code": "capacity", "message": "full", "series_id": SERIES}
    server.scripts = [[lambda: server.put(240), refused], [lambda: server.put(300), refused]]
    found = await updates_until(client.follow(SERIES, since=180), is_closed(300))
    assert [type(each) for each in found] == [Interrupted, Closed, Interrupted, Closed]


async def test_unknown_messages_and_events_are_ignored(server, client):
    event = {"type": "system", "series_id": SERIES, "event": "new.event", "message": "x"}
    rebuilt = {"type": "system", "event": "factor.rebuild", "data": {"from_time": 60}}
    server.scripts = [[{"type": "new"}, event, rebuilt, closed(240)]]
    found = await updates_until(client.follow(SERIES, since=180), is_closed(240))
    assert short(found) == [Live, FactorsRebuilt, 240]


async def test_a_handshake_that_is_refused_for_now_is_tried_again(server, client):
    server.scripts = [[closed(240)]]
    server.handshakes = (403, {}, None)
    found = []
    async with asyncio.timeout(patience(10)), aclosing(client.follow(SERIES, since=180)) as updates:
        async for update in updates:
            found.append(type(update))
            server.handshakes = None
            if found[-1] is Closed:
                break
    assert found == [Interrupted, Closed]


async def test_an_origin_that_is_not_allowed_is_raised(server, client):
    server.handshakes = (403, {}, {"code": "origin_not_allowed", "detail": "no"})
    with pytest.raises(NotAllowed):
        await updates_until(client.follow(SERIES, since=180), lambda _: False)


async def test_following_ends_where_the_caller_wants(server, client):
    """After `give_up_s` without a server, and at once when its task is cancelled."""
    server.scripts = [[HEARTBEAT]]
    following = client.follow(SERIES, since=180)
    assert isinstance(await anext(following), Live)
    waiting = asyncio.create_task(anext(following))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    with pytest.raises(StopAsyncIteration):
        await anext(following)
    async with AsyncClient("http://127.0.0.1:9", retry=QUICK, trust_env=False) as nowhere:
        with pytest.raises(ConnectionFailed):
            await updates_until(nowhere.follow(SERIES, since=180, give_up_s=0.05), lambda _: False)


async def test_a_slow_caller_reads_no_further(server, client):
    """What it has not taken stays with the connection: a bounded number of messages."""
    sent = []
    many = [
        step
        for time in range(240, 240 + 60 * 3000, 60)
        for step in (closed(time), lambda time=time: sent.append(time))
    ]
    padded = [each if callable(each) else each | {"padding": "x" * 10_000} for each in many]
    server.scripts = [padded]
    following = client.follow(SERIES, since=180)
    async with aclosing(following):
        first = await anext(following)
        before = -1
        while len(sent) != before:
            before = len(sent)
            await asyncio.sleep(0.1)
        assert first.candle.candle_time == 240
        assert before < 3000
