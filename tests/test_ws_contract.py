"""`/ws/market` message by message, on both ASGI servers that we support."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import socket
import struct
import time

import pytest
from websockets.frames import Frame, Opcode

from lab.waiting import patience
from tests.clients import Client

SERIES = "binance:futures:BTC/USDT:1m"
NUMBERS = itertools.count()
LIMITS = {"TRADE_CANVAS_WS_MAX_SUBSCRIPTIONS": "3", "TRADE_CANVAS_WS_MESSAGES_PER_S": "20"}


def row(time, close=1.5):
    return (time, 1.0, 2.0, 0.5, close, 10.0)


@pytest.fixture(scope="module")
def servers(shared_stack):
    """A web process for each server, shared by the tests here: each follows a series of its own."""
    return {name: shared_stack.web(server=name, **LIMITS) for name in ("uvicorn", "daphne")}


@pytest.fixture(params=["uvicorn", "daphne"])
def web(request, servers):
    return servers[request.param]


@pytest.fixture
def series():
    return f"binance:futures:X{next(NUMBERS)}/USDT:1m"


def run(web, story):
    """Run a client's story against a web process."""

    async def followed():
        async with Client(web.url) as client:
            await story(client)

    asyncio.run(followed())


def test_subscribe_catches_up_and_follows(web, series):
    async def story(client):
        await client.ingest(series, row(60), row(120), row(180))
        single = await client.follow(series, since=60)
        batching = await client.follow(series, since=60, supports_batch=True)
        assert [(await single.next())["type"] for _ in range(2)] == ["candle_closed"] * 2
        assert (await batching.next())["type"] == "candles_batch"
        await client.ingest(series, row(240))
        for follower in (single, batching):
            message = await follower.next()
            assert message == {
                "type": "candle_closed",
                "series_id": series,
                "candle": {
                    "candle_time": 240,
                    "open": 1.0,
                    "high": 2.0,
                    "low": 0.5,
                    "close": 1.5,
                    "volume": 10.0,
                },
            }
            assert follower.closed_times() == [120, 180, 240]

    run(web, story)


def test_repeated_candle_is_not_pushed_and_a_changed_one_is_announced(web, series):
    async def story(client):
        await client.ingest(series, row(60), row(120))
        follower = await client.follow(series, since=120)
        await client.settle(follower)
        await client.ingest(series, row(120), row(60, close=1.7))
        message = await follower.next()
        assert (message["type"], message["event"]) == ("system", "candle.revised")
        assert message["data"]["from_time"] == 60
        assert follower.closed_times() == []

    run(web, story)


def test_forming_candle_is_shown_but_never_stored(web, series):
    async def story(client):
        await client.ingest(series, row(60))
        follower = await client.follow(series, since=60)
        body = {"candle_time": 120, "open": 1, "high": 2, "low": 0.5, "close": 1.6, "volume": 3}
        await client.settle(follower)
        await client.post(
            "/api/market/ingest/candle_forming", {"series_id": series, "candle": body}
        )
        assert (await follower.next())["type"] == "candle_forming"
        assert [c["candle_time"] for c in await client.candles(series)] == [60]

    run(web, story)


def test_gap_sequence_of_the_contract(web, series):
    async def story(client):
        await client.ingest(series, row(60), row(120), row(180))
        follower = await client.follow(series, since=180, supports_batch=True)
        await client.settle(follower)
        await client.ingest(series, row(300))
        gap, closed = await follower.next(), await follower.next()
        assert (gap["type"], gap["expected_next_time"], gap["actual_time"]) == ("gap", 240, 300)
        assert closed["candle"]["candle_time"] == 300

    run(web, story)


def test_unsubscribe_stops_the_series(web, series):
    async def story(client):
        follower = await client.follow(series)
        await follower.send(type="unsubscribe", series_id=series)
        await client.settle(follower)
        await client.ingest(series, row(60))
        assert await follower.silence()

    run(web, story)


def subscribing(fields):
    return f'{{"type": "subscribe", {fields}}}'


def asking_since(fields):
    return subscribing(f'"series_id": "{SERIES}", {fields}')


BAD_MESSAGES = {
    "[1]": "invalid message envelope",
    "null": "invalid message envelope",
    "{}": "missing message type",
    '{"type": 5}': "missing message type",
    '{"type": "noop"}': "unknown message type: noop",
    '{"type": "hello", "heartbeat": 1}': "invalid heartbeat",
    "{nonsense": "invalid json",
    '{"type": "subscribe"}': "missing series_id",
    subscribing('"series_id": " "'): "missing series_id",
    subscribing('"series_id": 7'): "missing series_id",
    subscribing('"series_id": "abc"'): "series_id must be "
    "'{exchange}:{market}:{symbol}:{timeframe}'",
    subscribing('"series_id": "a::b:1m"'): "invalid series_id (empty component)",
    subscribing('"series_id": "a:b:c:1x"'): "unsupported timeframe unit: 'x'",
    subscribing('"series_id": "a:b:c\\u0000:1m"'): "invalid series_id (control character)",
    asking_since('"since": "100"'): "invalid since",
    asking_since('"since": 1.5'): "invalid since",
    asking_since('"since": NaN'): "invalid json",
    asking_since('"since": 1000000000000000000000000000000'): "invalid since",
    asking_since('"since": null, "supports_batch": 1'): "invalid supports_batch",
    asking_since('"epoch": "x"'): "invalid epoch",
    asking_since('"generation": 1'): "invalid generation",
}


def test_bad_messages_are_answered_and_keep_the_connection(web):
    answers = {}

    async def story(client):
        follower = await client.connect()
        for text in BAD_MESSAGES:
            await follower.send_text(text)
            answer = await follower.next()
            assert answer["code"] == "bad_request"
            answers[text] = answer["message"]
        await follower.send_bytes(b"\x00\xff")
        assert (await follower.next())["code"] == "bad_request"
        await follower.send(type="subscribe", series_id=SERIES, since=2**62)
        await follower.send(type="subscribe", series_id=SERIES, since=-(2**62))
        await client.settle(follower)

    run(web, story)
    assert answers == BAD_MESSAGES


def test_subscribe_to_another_name_is_refused_with_the_canonical_one(web):
    async def story(client):
        follower = await client.connect()
        alias = "binance:futures:BTC/USDT:USDT:60m"
        await follower.send(type="subscribe", series_id=alias, since=0)
        answer = await follower.next()
        assert (answer["type"], answer["code"]) == ("error", "series_alias")
        assert answer["series_id"] == alias
        assert answer["canonical_series_id"] == "binance:futures:BTC/USDT:1h"

    run(web, story)


def test_heartbeats_come_to_the_client_that_asks_for_them(web):
    async def story(client):
        asking, other = await client.connect(), await client.connect()
        await asking.send(type="hello", heartbeat=True)
        before = int(time.time())
        times = [(await asking.next())["time"] for _ in range(2)]
        assert before <= times[0] < times[1]
        await client.settle(other)
        assert {message["type"] for message in other.messages} == {"error"}

    run(web, story)


def test_too_many_subscriptions_are_refused(web):
    async def story(client):
        follower = await client.connect()
        for number in range(4):
            await follower.send(type="subscribe", series_id=f"binance:spot:X{number}/Y:1m")
        answer = await follower.next()
        assert answer["code"] == "too_many_subscriptions"
        assert answer["series_id"] == "binance:spot:X3/Y:1m"

    run(web, story)


def test_flood_is_slowed_and_then_closed(web):
    async def story(client):
        follower = await client.connect()
        for _ in range(400):
            await follower.send_text('{"type": "unsubscribe"}')
        assert (await follower.ending())[0] == 1008
        assert {message["code"] for message in follower.messages} <= {"rate_limited"}

    run(web, story)


def test_subscribe_beyond_the_rate_is_answered_with_its_series(web, series):
    async def story(client):
        follower = await client.connect()
        # Thrice what a burst admits; all but the first three are refused for some reason.
        asked = [series.replace("/", f"{number}/") for number in range(120)]
        for each in asked:
            await follower.send(type="subscribe", series_id=each)
        for each in asked[3:]:
            assert (await follower.next())["series_id"] == each
        codes = {message["code"] for message in follower.messages}
        assert codes == {"too_many_subscriptions", "rate_limited"}

    run(web, story)


def test_oversized_message_closes_with_1009(web):
    async def story(client):
        follower = await client.connect()
        await follower.send_text(json.dumps({"type": "x" * 70_000}))
        assert (await follower.ending())[0] == 1009

    run(web, story)


def test_other_websocket_paths_are_refused(web):
    async def story(client):
        with pytest.raises(ConnectionRefusedError, match="403"):
            await client.connect("/ws/other")

    run(web, story)


@pytest.mark.parametrize("server", ["uvicorn", "daphne"])
def test_watchers_are_sent_elsewhere_at_shutdown(stack, server):
    web = stack.web(server=server)

    async def story(client):
        follower = await client.follow(SERIES)
        await client.settle(follower)
        stopping = asyncio.create_task(asyncio.to_thread(web.terminate))
        assert (await follower.ending())[0] == 1001
        assert await stopping == 0

    run(web, story)


def test_watcher_that_does_not_read_is_closed_with_4008_and_others_are_not_delayed(stack):
    web = stack.web(TRADE_CANVAS_WS_OUTBOX_BYTES="65536", TRADE_CANVAS_ENABLE_FACTOR_INGEST="0")

    async def story(client):
        with contextlib.closing(stalled_watcher(web.url)) as stalled:
            await overflow(client)
            assert ending_of(stalled) in (b"slow_consumer", b"cut off")

    async def overflow(client):
        reading = await client.follow(SERIES, since=0, supports_batch=True)
        await client.settle(reading)
        # More than the kernel's buffers and the outbox can hold for one who does not read.
        for start in range(60, 60 * 5000 * 16, 60 * 5000):
            end = start + 60 * 5000
            await client.ingest_batch(SERIES, [row(time) for time in range(start, end, 60)])
            async with asyncio.timeout(patience(10)):
                while reading.closed_times()[-1:] != [end - 60]:
                    await reading.next()

    run(web, story)


def stalled_watcher(url):
    """A socket that subscribes and then reads nothing."""
    host, _, port = url.removeprefix("http://").partition(":")
    peer = socket.socket()
    peer.settimeout(patience(10))
    # Else the kernel alone would take in megabytes for it.
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    peer.connect((host, int(port)))
    peer.sendall(
        b"GET /ws/market HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    assert peer.recv(4096).startswith(b"HTTP/1.1 101")
    text = json.dumps({"type": "subscribe", "series_id": SERIES, "since": 0}).encode()
    peer.sendall(Frame(Opcode.TEXT, text).serialize(mask=True))
    return peer


def ending_of(peer):
    """Read what waits: to the reason of the close frame, or to where the server cut it off.

    It does the latter when the test took longer to get here than a peer is given to read.
    """
    data = b""
    while not data.endswith(b"slow_consumer"):
        try:
            chunk = peer.recv(65536)
        except ConnectionResetError:
            chunk = b""
        if not chunk:
            return b"cut off"
        data = data[-100:] + chunk
    assert struct.unpack("!H", data[-15:-13]) == (4008,)
    return b"slow_consumer"
