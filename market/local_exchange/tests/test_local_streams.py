"""The local exchange's kline streams and the faults that show on them.

Its time passes ten times as fast here, so a second's candle closes every 100 ms.
"""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from lab.waiting import patience
from market.local_exchange.book import Clock
from market.local_exchange.connection import OUTBOX, Connection
from market.local_exchange.generated import GeneratedCandles
from market.local_exchange.replayed import ReplayedCandles
from market.local_exchange.server import running_exchange
from market.local_exchange.tests.local_client import (
    TIMEOUT_S,
    ask,
    connected,
    finals,
    klines,
    read,
    request,
    until,
    values,
)

SPEED = 10
STREAM = "btcusdt@kline_1s"
SERIES = {"symbol": "BTCUSDT", "interval": "1s"}
RAW = {"spot": "/ws/", "futures": "/market/ws/"}
REST = {"spot": "/api/v3/klines", "futures": "/fapi/v1/klines"}


@pytest.fixture(scope="module")
def shared():
    clock = Clock(speed=SPEED)
    with running_exchange(GeneratedCandles(5), clock=clock, push_ms=25, ping_s=0.5) as running:
        yield running


@pytest.fixture
def exchange(shared):
    yield shared
    shared.clear()


def gaps(found):
    """Distances in candles between the open times of successive klines."""
    return [(b["t"] - a["t"]) // 1000 for a, b in zip(found[:-1], found[1:], strict=True)]


@pytest.mark.parametrize("market", RAW)
async def test_stream_gives_each_candle_open_then_final(exchange, market):
    async with connected(exchange.url, RAW[market] + STREAM) as socket:
        found = await klines(socket, 30)
    closed = [one for one in found if one["x"]]
    assert len(closed) >= 3 and set(gaps(closed)) == {1}
    for before, after in zip(found[:-1], found[1:], strict=True):
        # After a final comes the next candle; before it, the same one, only grown.
        assert gaps([before, after]) == ([1] if before["x"] else [0])
        if not before["x"]:
            assert float(after["h"]) >= float(before["h"])
            assert float(after["v"]) >= float(before["v"])


@pytest.mark.parametrize("market", RAW)
async def test_stream_finals_equal_history_and_truth(exchange, market):
    async with connected(exchange.url, RAW[market] + STREAM) as socket:
        found = await finals(socket, 4)
    query = SERIES | {"startTime": found[0]["t"], "endTime": found[-1]["t"]}
    rows = await read(exchange.url, REST[market], **query)
    start, end = found[0]["t"] // 1000, found[-1]["t"] // 1000
    query = SERIES | {"market": market, "start": start, "end": end}
    truth = await read(exchange.url, "/control/truth", **query)
    assert [row[1:6] for row in rows] == [values(one) for one in found]
    assert [
        [one[name] for name in ("open", "high", "low", "close", "volume")]
        for one in truth["candles"]
    ] == [list(map(float, values(one))) for one in found]


async def test_stream_messages_have_binances_shape(exchange):
    async with connected(exchange.url, "/ws/" + STREAM) as socket:
        event = await socket.receive_json(timeout=patience(TIMEOUT_S))
    assert (event["e"], event["s"]) == ("kline", "BTCUSDT")
    assert set(event) == {"e", "E", "s", "k"}
    assert set(event["k"]) == set("tTsifLochlvnxqVQB")
    assert event["k"]["T"] == event["k"]["t"] + 999


@pytest.mark.parametrize("path", ["/stream", "/market/stream"])
async def test_stream_combined_names_each_event(exchange, path):
    names = {STREAM, "ethusdt@kline_1m"}
    async with connected(exchange.url, f"{path}?streams={'/'.join(names)}") as socket:
        events = [await socket.receive_json(timeout=patience(TIMEOUT_S)) for _ in range(6)]
    assert {event["stream"] for event in events} == names
    for event in events:
        kline = event["data"]["k"]
        assert event["stream"] == f"{kline['s'].lower()}@kline_{kline['i']}"


@pytest.mark.parametrize("path", ["/ws", "/stream/ws/0", "/market/ws", "/market/ws/7"])
async def test_stream_requests_are_carried_out_and_answered(exchange, path):
    async with connected(exchange.url, path) as socket:
        answers = [
            await request(socket, "SUBSCRIBE", STREAM, "xx@depth", number=1),
            await request(socket, "LIST_SUBSCRIPTIONS", number="two"),
        ]
        fed = await klines(socket, 2)
        answers.append(await request(socket, "UNSUBSCRIBE", STREAM, number=3))
        # A second's worth of nothing: the first message now is the answer.
        await asyncio.sleep(0.3)
        await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "params": [], "id": 4})
        last = await socket.receive_json(timeout=patience(TIMEOUT_S))
    listed = answers[1]["result"]
    assert [one for one in listed if "@" in one] == [STREAM, "xx@depth"]
    assert answers[0] == {"result": None, "id": 1} and answers[2] == {"result": None, "id": 3}
    assert len(fed) == 2
    assert last["id"] == 4 and STREAM not in last["result"]


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "5",
        '{"method":"DANCE","params":[]}',
        '{"method":"SUBSCRIBE"}',
        '{"method":"SUBSCRIBE","params":[1],"id":9}',
    ],
)
async def test_stream_bad_request_is_refused_and_the_socket_stays(exchange, text):
    async with connected(exchange.url, "/ws") as socket:
        await socket.send_str(text)
        refused = await socket.receive_json(timeout=patience(TIMEOUT_S))
        assert refused["error"]["code"] in (2, 3)
        assert (await request(socket, "SUBSCRIBE", STREAM, number=5))["id"] == 5
        assert await klines(socket, 1)


async def test_stream_too_many_requests_close_the_socket(exchange):
    async with connected(exchange.url, "/ws") as socket:
        for number in range(6):
            await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": number})
        while not socket.closed:
            await socket.receive(timeout=patience(TIMEOUT_S))
    assert socket.close_code == 1008


async def test_stream_too_many_subscriptions_are_refused(exchange):
    async with connected(exchange.url, "/ws") as socket:
        answer = await request(socket, "SUBSCRIBE", *(f"x{n}@trade" for n in range(1_025)))
        listed = await request(socket, "LIST_SUBSCRIPTIONS", number=2)
    assert answer["error"]["code"] == 2
    assert listed["result"] == []


async def test_stream_client_is_pinged(exchange):
    async with connected(exchange.url, "/ws", autoping=False) as socket:
        message = await socket.receive(timeout=patience(TIMEOUT_S))
    assert message.type is aiohttp.WSMsgType.PING


async def test_stream_answers_a_clients_ping(exchange):
    async with connected(exchange.url, "/ws", autoping=False) as socket:
        await socket.ping(b"hello")
        message = await socket.receive(timeout=patience(TIMEOUT_S))
        while message.type is aiohttp.WSMsgType.PING:
            message = await socket.receive(timeout=patience(TIMEOUT_S))
    assert (message.type, message.data) == (aiohttp.WSMsgType.PONG, b"hello")


class CutOff(asyncio.Transport):
    """A transport that only remembers whether it was cut."""

    cut = False

    def abort(self):
        self.cut = True


async def test_connection_of_a_slow_client_is_cut_off():
    transport = CutOff()
    connection = Connection(None, transport, market="spot", combined=False, silent=lambda: False)
    for _ in range(OUTBOX):
        connection.post("x")
    assert not transport.cut
    connection.post("one too many")
    assert transport.cut


async def test_connections_that_left_are_forgotten(exchange):
    async with connected(exchange.url, "/ws/" + STREAM) as socket:
        await klines(socket, 1)
    await until(exchange.url, lambda state: not state["connections"] and not state["subscribers"])


@pytest.mark.parametrize(("abort", "code"), [(False, 1001), (True, 1006)])
async def test_fault_drop_connections_closes_now_and_refuses_for_a_while(exchange, abort, code):
    async with (
        connected(exchange.url, "/ws/" + STREAM) as socket,
        connected(exchange.url, "/market/ws/" + STREAM) as spared,
    ):
        await klines(socket, 1)
        scope = {"market": "spot"}
        exchange.fault(kind="drop_connections", abort=abort, duration_s=60, scope=scope)
        while not socket.closed:
            await socket.receive(timeout=patience(TIMEOUT_S))
        assert socket.close_code == code
        with pytest.raises(aiohttp.WSServerHandshakeError, match="503"):
            async with connected(exchange.url, "/ws"):
                pass
        assert await finals(spared, 2)
    exchange.clear()
    async with connected(exchange.url, "/ws/" + STREAM) as socket:
        assert await klines(socket, 1)


async def test_fault_drop_connections_without_duration_is_over_at_once(exchange):
    exchange.fault(kind="drop_connections")
    async with connected(exchange.url, "/ws/" + STREAM) as socket:
        assert await klines(socket, 1)


async def test_fault_duplicate_sends_finals_again(exchange):
    async with connected(exchange.url, "/ws/" + STREAM) as socket:
        await klines(socket, 1)
        exchange.fault(kind="duplicate", times=3, count=1)
        found = await finals(socket, 5)
    assert [found.count(one) for one in found[:3]] == [3, 3, 3]
    assert gaps(found[2:]) == [1, 1]


async def test_fault_reorder_sends_a_final_after_the_next(exchange):
    async with connected(exchange.url, "/ws/" + STREAM) as socket:
        await klines(socket, 1)
        exchange.fault(kind="reorder", count=1)
        found = await finals(socket, 5)
    swap = gaps(found).index(-1)
    assert (
        sorted(one["t"] for one in found) == [found[0]["t"] + n * 1000 for n in range(-1, 4)]
        or swap > 0
    )
    assert sorted(gaps(found)).count(-1) == 1


async def test_fault_omit_keeps_the_next_candles_from_streams_only(exchange):
    async with connected(exchange.url, "/ws/" + STREAM) as socket:
        await finals(socket, 1)
        exchange.fault(kind="omit", next=2, scope={"interval": "1s"})
        found = await klines(socket, 30)
    times = sorted({one["t"] for one in found})
    jumps = [(b - a) // 1000 for a, b in zip(times[:-1], times[1:], strict=True)]
    assert sorted(jumps)[-1] >= 2 and sorted(jumps)[:-1] == [1] * (len(jumps) - 1)
    query = SERIES | {"startTime": times[0], "endTime": times[-1]}
    rows = await read(exchange.url, "/api/v3/klines", **query)
    assert len(rows) == (times[-1] - times[0]) // 1000 + 1


async def test_fault_omit_of_given_candles_spares_the_others(exchange):
    async with connected(exchange.url, "/ws/" + STREAM) as socket:
        [last] = await finals(socket, 1)
        missing = last["t"] // 1000 + 3
        exchange.fault(kind="omit", candle_times=[missing])
        found = await finals(socket, 4)
    times = [one["t"] // 1000 - missing for one in found]
    assert times == [-2, -1, 1, 2]


async def text(socket):
    """The next message that is neither ping nor pong."""
    while (
        message := await socket.receive(timeout=patience(5.0))
    ).type is not aiohttp.WSMsgType.TEXT:
        assert message.type in (aiohttp.WSMsgType.PING, aiohttp.WSMsgType.PONG)
    return message


async def test_fault_silent_keeps_the_socket_open_and_sends_nothing(exchange):
    async with connected(exchange.url, "/ws/" + STREAM, autoping=False) as socket:
        await text(socket)
        exchange.fault(kind="silent", duration_s=60)
        # What was on its way still comes; then pings would be due, and ten candles.
        with pytest.raises(TimeoutError):
            for _ in range(50):
                await socket.receive(timeout=1.0)
        assert not socket.closed
        exchange.clear()
        await text(socket)


async def test_fault_delay_holds_streams_back_in_order(exchange):
    async with connected(exchange.url, "/ws/" + STREAM) as socket:
        await klines(socket, 1)
        exchange.fault(kind="delay", delay_ms=500, target="streams")
        found = await finals(socket, 5)
        now_ms = (await read(exchange.url, "/api/v3/time"))["serverTime"]
    assert gaps(found) == [1, 1, 1, 1]
    assert now_ms - found[-1]["T"] >= 500 * SPEED


async def test_fault_revise_is_pushed_when_asked(exchange):
    async with connected(exchange.url, "/ws/" + STREAM) as socket:
        [first] = await finals(socket, 1)
        exchange.fault(
            kind="revise", candle_times=[first["t"] // 1000], values={"close": 1.5}, push=True
        )
        revised = first
        while revised["t"] != first["t"] or revised is first:
            [revised] = await finals(socket, 1)
    query = SERIES | {"startTime": first["t"], "limit": 1}
    [row] = await read(exchange.url, "/api/v3/klines", **query)
    assert values(revised) == row[1:6]
    assert float(revised["c"]) == 1.5


async def test_fault_clock_set_back_repeats_no_candle(exchange):
    async with connected(exchange.url, "/ws/" + STREAM) as socket:
        before = await finals(socket, 2)
        exchange.fault(kind="clock_skew", skew_ms=-2_000)
        after = await finals(socket, 2)
    assert gaps(before + after) == [1, 1, 1]


async def test_stream_of_a_replay_skips_its_holes_and_equals_the_recording(tmp_path):
    path = tmp_path / "recording.csv"
    minutes = [n for n in range(20) if n not in (12, 13)]
    lines = [f"{600_000 + 60 * n},{n + 1},{n + 3},{n},{n + 2},{n + 0.5}" for n in minutes]
    path.write_text("candle_time,open,high,low,close,volume\n" + "\n".join(lines))
    source = ReplayedCandles(path, market="spot", symbol="XRP/ETH", interval="1m")
    clock = Clock(origin_ms=600_000_000 + 10 * 60_000, speed=300)
    with running_exchange(source, clock=clock, push_ms=20) as exchange:
        async with connected(exchange.url, "/ws/xrpeth@kline_1m") as socket:
            found = await finals(socket, 4)
        query = {"symbol": "XRPETH", "interval": "1m"}
        rows = await read(exchange.url, "/api/v3/klines", **query)
        status, _, _ = await ask(exchange.url, "/api/v3/klines", symbol="XRPETH", interval="1s")
    times = [one["t"] // 60_000 - 10_000 for one in found]
    assert times == [n for n in minutes if n >= times[0]][:4]
    expected = [[n + 1, n + 3, n, n + 2, n + 0.5] for n in times]
    assert [list(map(float, values(one))) for one in found] == expected
    assert [row[0] // 60_000 - 10_000 for row in rows] == minutes[: len(rows)]
    assert status == 400
