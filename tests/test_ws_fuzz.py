"""`/ws/market` under whatever a client may do: no crash, nothing missed, nothing kept of who left.

A few stories run here, many in `make prove`.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import socket
from contextlib import closing, suppress

import hypothesis
import psutil
import pytest
import redis
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine
from websockets.frames import Frame, Opcode

from lab.http import get
from lab.waiting import patience, wait_until
from tests.clients import Client
from tests.examples import FUZZ_EXAMPLES

STEPS = 30
CONNECTIONS = 5
LARGEST = 4096
SWITCHES = {
    "TRADE_CANVAS_ENABLE_ONDEMAND_INGEST": "1",
    "TRADE_CANVAS_WS_MESSAGES_PER_S": "100000",
    "TRADE_CANVAS_WS_MAX_MESSAGE_BYTES": str(LARGEST),
    "TRADE_CANVAS_HUB_CHECK_INTERVAL_S": "0.2",
}
NUMBERS = itertools.count()
SLOTS = st.integers(0, CONNECTIONS - 1)
PICKS = st.integers(0, 2)
SINCE = st.sampled_from([None, 0, -1, 60, True, 2**63, -(2**63)])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)
FIELDS = st.fixed_dictionaries(
    {"type": st.sampled_from(["subscribe", "unsubscribe", "", "hello"]) | JSON},
    optional={"series_id": JSON, "since": JSON, "supports_batch": JSON, "epoch": JSON},
)
GROWTH_BYTES = 16_000_000

# A process opens connections to its servers when it first needs them.
FEW_HANDLES = 30


class Peer:
    """A connection of the story, and the series it follows with the times it asked from."""

    def __init__(self, follower):
        self.follower = follower
        self.follows = {}

    def received(self, series):
        """Open times of closed candles of a series, in the order they came."""
        times = []
        for message in self.follower.messages:
            if message.get("series_id") == series and message["type"] in CLOSED:
                rows = message.get("candles") or [message["candle"]]
                times += [each["candle_time"] for each in rows]
        return times


CLOSED = ("candle_closed", "candles_batch")


class Story(RuleBasedStateMachine):
    """Connections come, follow, talk nonsense and go, while candles come in."""

    web = None

    def __init__(self):
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.client = Client(self.web.url)
        self.loop.run_until_complete(self.client.__aenter__())
        self.peers = {}
        self.series = [f"binance:futures:F{next(NUMBERS)}/USDT:1m" for _ in range(3)]
        self.heads = dict.fromkeys(self.series, 0)
        for pick in range(len(self.series)):
            # A series without candles, of an exchange that is not served, is refused.
            self.candle(pick)

    def run(self, work):
        return self.loop.run_until_complete(work)

    def peer(self, slot):
        if slot not in self.peers:
            self.peers[slot] = Peer(self.run(self.client.connect()))
        return self.peers[slot]

    def lost(self, slot, code):
        """The server ended the connection of a slot, with this code."""
        assert self.run(self.peers.pop(slot).follower.ending())[0] == code

    @rule(slot=SLOTS, pick=PICKS, since=SINCE, batch=st.sampled_from([True, False, None]))
    def subscribe(self, slot, pick, since, batch):
        peer, series = self.peer(slot), self.series[pick]
        peer.follower.messages = [
            each for each in peer.follower.messages if each.get("series_id") != series
        ]
        body = {"series_id": series, "since": since, "supports_batch": batch, "epoch": pick}
        self.run(peer.follower.send(type="subscribe", **body))
        self.run(self.client.settle(peer.follower))
        peer.follows[series] = -1 if since is None else since

    @rule(slot=SLOTS, pick=PICKS)
    def unsubscribe(self, slot, pick):
        peer = self.peer(slot)
        self.run(peer.follower.send(type="unsubscribe", series_id=self.series[pick]))
        self.run(self.client.settle(peer.follower))
        peer.follows.pop(self.series[pick], None)

    @rule(slot=SLOTS, body=FIELDS | JSON)
    def nonsense(self, slot, body):
        self.run(self.peer(slot).follower.send_text(json.dumps(body)))

    @rule(slot=SLOTS, text=st.text(max_size=60))
    def text(self, slot, text):
        self.run(self.peer(slot).follower.send_text(text))

    @rule(slot=SLOTS, data=st.binary(max_size=60))
    def binary(self, slot, data):
        self.run(self.peer(slot).follower.send_bytes(data))

    @rule(slot=SLOTS, depth=st.sampled_from([1000, LARGEST // 2]))
    def deep(self, slot, depth):
        self.run(self.peer(slot).follower.send_text("[" * depth + "]" * depth))

    @rule(slot=SLOTS, size=st.integers(LARGEST + 1, 3 * LARGEST))
    def huge(self, slot, size):
        self.run(self.peer(slot).follower.send_text("x" * size))
        self.lost(slot, 1009)

    @precondition(lambda self: self.peers)
    @rule(politely=st.booleans(), data=st.data())
    def leave(self, politely, data):
        slot = data.draw(st.sampled_from(sorted(self.peers)))
        follower = self.peers.pop(slot).follower
        if politely:
            self.run(follower.leave())
        else:
            follower.cut()

    @rule(pick=PICKS)
    def candle(self, pick):
        series = self.series[pick]
        self.heads[series] += 60
        self.run(self.client.ingest(series, (self.heads[series], 1.0, 2.0, 0.5, 1.5, 10.0)))
        for peer in self.peers.values():
            if self.heads[series] > peer.follows.get(series, self.heads[series]):
                self.run(self.wait_for_head(peer, series))

    async def wait_for_head(self, peer, series):
        async with asyncio.timeout(patience(20)):
            while self.heads[series] not in peer.received(series):
                await peer.follower.next()

    @invariant()
    def candles_come_once_and_in_order(self):
        for peer in self.peers.values():
            for series in peer.follows:
                times = peer.received(series)
                assert times == sorted(set(times))

    def teardown(self):
        for peer in self.peers.values():
            # It still answers, whatever it was sent before.
            self.run(self.client.settle(peer.follower))
        self.run(self.client.__aexit__())
        self.loop.close()


@pytest.fixture(scope="module", params=["uvicorn", "daphne"])
def web(request, shared_stack):
    return shared_stack.web(server=request.param, **SWITCHES)


@pytest.fixture
def nothing_is_kept(web, shared_stack):
    """After the test: no lease, no group on the bus, no trouble in the log, and it still serves."""
    yield
    bus = redis.Redis.from_url(shared_stack.valkey.url)
    with closing(bus):
        wait_until(lambda: not leases_of(web), 20, "the last lease to end")
        wait_until(lambda: not groups_of(bus), 20, "the hub to forget every series")
    assert "Traceback" not in web.output()
    assert get(f"{web.url}/readyz")[0] == 200


def leases_of(web):
    status, state = get(f"{web.url}/api/market/debug/ingest_state")
    assert status == 200
    return [each["series_id"] for each in state["jobs"] if each["refcount"]]


def groups_of(bus):
    """Series that some hub listens to."""
    return bus.pubsub_channels("*__group__*")


def test_any_story_of_connections_is_served_to_its_end(web, nothing_is_kept):
    machine = type("ServedStory", (Story,), {"web": web})
    settings = hypothesis.settings(
        max_examples=FUZZ_EXAMPLES,
        stateful_step_count=STEPS,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    run_machine(machine, settings=settings)


def open_socket(web):
    host, _, port = web.url.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=patience(10))


def shake_hands(peer):
    peer.sendall(
        b"GET /ws/market HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        b"Sec-WebSocket-Version: 13\r\n\r\n"
    )
    assert peer.recv(4096).startswith(b"HTTP/1.1 101")


def rubbish(chance):
    """Bytes that are no frame, a frame cut in two, or one that lies about its length."""
    text = b'{"type": "subscribe", "series_id": "binance:futures:R/USDT:1m"}'
    frame = Frame(Opcode.TEXT, text).serialize(mask=True)
    kind = chance.randrange(5)
    if kind == 0:
        return chance.randbytes(chance.randrange(1, 300))
    if kind == 1:
        return frame + frame[: chance.randrange(1, len(frame))]
    if kind == 2:
        return frame + b"\x81\xff" + (2**63 - 1).to_bytes(8) + b"mask" + bytes(100)
    if kind == 3:
        return frame + Frame(Opcode.TEXT, b"\xff\xfe").serialize(mask=True)
    return frame * 3 + Frame(Opcode.PING, bytes(100)).serialize(mask=True) * 20


def send_rubbish(web, chance, *, times):
    """Open connections, some without a handshake, say rubbish and leave without a word."""
    for _ in range(times):
        with closing(open_socket(web)) as peer, suppress(OSError):
            if chance.random() < 0.8:
                shake_hands(peer)
            peer.sendall(rubbish(chance))
            if chance.random() < 0.5:
                peer.shutdown(socket.SHUT_WR)
                peer.settimeout(0.05)
                with suppress(TimeoutError):
                    peer.recv(4096)


def test_random_bytes_leave_nothing_behind(web, nothing_is_kept):
    chance = random.Random(next(NUMBERS))
    process = psutil.Process(web.pid)
    # What a process keeps for good it has after as many as are counted.
    send_rubbish(web, chance, times=15 * FUZZ_EXAMPLES)
    before, handles = process.memory_info().rss, process.num_fds()
    send_rubbish(web, chance, times=15 * FUZZ_EXAMPLES)
    wait_until(lambda: process.num_fds() < handles + FEW_HANDLES, 30, "the sockets to be closed")
    assert process.memory_info().rss - before < GROWTH_BYTES


async def hang_up_while_subscribing(web, series):
    async with Client(web.url) as client:
        follower = await client.connect()
        for name in series:
            await follower.send(type="subscribe", series_id=name)
        follower.cut()


def test_connection_lost_while_subscribing_keeps_nothing(web, nothing_is_kept):
    series = [f"binance:futures:H{next(NUMBERS)}/USDT:1m" for _ in range(40)]

    async def all_at_once():
        async with asyncio.timeout(patience(20)):
            await asyncio.gather(*(hang_up_while_subscribing(web, series) for _ in range(10)))

    asyncio.run(all_at_once())
