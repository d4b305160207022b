"""Sending frames to a transport or through ASGI, and closing a slow peer."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import Close
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from market.live.frames import Frame
from market.live.tests.fakes import settle
from market.live.wires import AsgiWire, UvicornWire, wire_for
from market.live.wires.port import BEHIND_BYTES
from market.live.wires.uvicorn import PRIVATE_ATTRIBUTES

LIMIT = 2 * BEHIND_BYTES
SMALL = Frame.of({"type": "small"})
LARGE = Frame.of({"type": "x" * BEHIND_BYTES})


class Transport:
    """Records what is written; `waiting` bytes of it are unread."""

    def __init__(self):
        self.written = []
        self.waiting = 0
        self.aborted = False

    def write(self, data):
        self.written.append(data)
        self.waiting += len(data)

    def get_write_buffer_size(self):
        return self.waiting

    def is_closing(self):
        return self.aborted

    def abort(self):
        self.aborted = True


class Protocol:
    """The attributes of uvicorn's protocol that the wire uses, with a real WebSocket state."""

    def __init__(self):
        self.transport = Transport()
        self.conn = ServerProtocol()
        self.conn.state = OPEN
        self.queue = asyncio.Queue()
        self.loop = asyncio.get_running_loop()
        self.close_sent = False
        self.close_timer = None

    async def send(self, message):
        raise AssertionError("frames go to the transport")


@pytest.fixture
async def protocol():
    protocol = Protocol()
    yield protocol
    if protocol.close_timer is not None:
        protocol.close_timer.cancel()


def close_of(frame):
    """Code and reason of an unmasked close frame."""
    assert frame[0] == 0x88
    close = Close.parse(frame[2:])
    return close.code, close.reason


async def test_frame_is_written_to_the_transport_unchanged(protocol):
    wire = wire_for(protocol.send, outbox_bytes=LIMIT)
    assert isinstance(wire, UvicornWire)
    wire.send(SMALL)
    assert protocol.transport.written == [SMALL.data]


async def test_uvicorn_still_has_the_private_attributes():
    """A release of uvicorn that renames one must be noticed here, not by slower delivery."""
    config = Config(lambda scope: None, ws="websockets-sansio", ws_per_message_deflate=False)
    config.load()
    real = WebSocketsSansIOProtocol(config, ServerState(), {})
    assert PRIVATE_ATTRIBUTES == ("transport", "queue", "close_sent", "close_timer", "loop")
    assert [name for name in PRIVATE_ATTRIBUTES if not hasattr(real, name)] == []
    assert UvicornWire.fits(real)


async def test_compressing_connection_is_served_through_asgi(protocol):
    protocol.conn.extensions = ["permessage-deflate"]
    assert isinstance(wire_for(protocol.send, outbox_bytes=LIMIT), AsgiWire)


async def test_frame_larger_than_the_outbox_is_sent(protocol):
    UvicornWire(protocol, 1).send(LARGE)
    assert protocol.transport.written == [LARGE.data]


async def test_full_outbox_closes_with_4008_after_what_was_sent(protocol):
    wire = UvicornWire(protocol, LIMIT)
    for _ in range(5):
        wire.send(LARGE)
    *frames, last = protocol.transport.written
    assert frames == [LARGE.data]
    assert close_of(last) == (4008, "slow_consumer")
    assert not wire.is_open
    assert protocol.queue.get_nowait()["type"] == "websocket.disconnect"


async def test_closed_wire_sends_nothing_more(protocol):
    wire = UvicornWire(protocol, LIMIT)
    wire.close(1001, "server_shutdown")
    wire.close(1008, "again")
    wire.send(SMALL)
    assert [close_of(frame) for frame in protocol.transport.written] == [(1001, "server_shutdown")]


async def test_watcher_is_behind_while_much_waits(protocol):
    wire = UvicornWire(protocol, LIMIT)
    wire.send(LARGE)
    assert wire.is_behind
    protocol.transport.waiting = 0
    assert not wire.is_behind


async def test_offer_is_declined_while_behind_and_sends_nothing_after_a_close(protocol):
    wire = UvicornWire(protocol, LIMIT)
    wire.send(LARGE)
    assert not wire.offer(SMALL)
    protocol.transport.waiting = 0
    assert wire.offer(SMALL)
    assert protocol.transport.written == [LARGE.data, SMALL.data]
    wire.close(1001, "server_shutdown")
    protocol.transport.waiting = 0
    assert wire.offer(SMALL)
    assert len(protocol.transport.written) == 3


class Peer:
    """An ASGI server's send that waits while the peer does not read."""

    def __init__(self):
        self.messages = []
        self.reads = asyncio.Event()
        self.reads.set()

    async def send(self, message):
        await self.reads.wait()
        self.messages.append(message)


async def test_asgi_wire_sends_every_message_in_order():
    peer = Peer()
    wire = wire_for(partial(peer.send), outbox_bytes=LIMIT)
    wire.send(Frame.of({"n": 1}, {"n": 2}))
    wire.send(Frame.of({"n": 3}))
    await settle()
    assert [message["text"] for message in peer.messages] == ['{"n":1}', '{"n":2}', '{"n":3}']


async def test_asgi_wire_closes_a_peer_that_does_not_read():
    peer = Peer()
    peer.reads.clear()
    wire = AsgiWire(peer.send, LIMIT)
    for _ in range(5):
        wire.send(LARGE)
        await settle()
    assert not wire.is_open
    peer.reads.set()
    await settle()
    assert peer.messages[-1] == {
        "type": "websocket.close",
        "code": 4008,
        "reason": "slow_consumer",
    }


async def test_asgi_wire_survives_a_server_that_raises():
    async def send(message):
        raise OSError

    wire = AsgiWire(send, LIMIT)
    wire.send(SMALL)
    await settle()
    assert not wire.is_open
