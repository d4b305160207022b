from __future__ import annotations

import asyncio
import contextlib

import pytest

from lab.line import HOST, Line

PATIENCE_S = 10.0


class Echo(asyncio.Protocol):
    """Answers what it is sent, with its server's name in front."""

    def __init__(self, name, connections):
        self.name = name
        self.connections = connections
        self.gone = asyncio.Event()

    def connection_made(self, transport):
        self.transport = transport
        self.connections.append(self)

    def data_received(self, data):
        self.transport.write(self.name + data)

    def connection_lost(self, error):
        self.gone.set()


@pytest.fixture
async def targets():
    loop, connections = asyncio.get_running_loop(), []
    servers = [
        await loop.create_server(lambda name=name: Echo(name, connections), HOST, 0)
        for name in (b"first ", b"second ")
    ]
    yield servers
    for server in servers:
        server.close()
    for connection in connections:
        connection.transport.abort()
        await asyncio.wait_for(connection.gone.wait(), PATIENCE_S)


@pytest.fixture
def line(targets):
    opened = Line([server.sockets[0].getsockname()[1] for server in targets]).start()
    yield opened
    opened.close()


async def connect(line):
    async with asyncio.timeout(PATIENCE_S):
        return await asyncio.open_connection(HOST, line.port)


async def ask(connection, data=b"hello"):
    reader, writer = connection
    writer.write(data)
    async with asyncio.timeout(PATIENCE_S):
        return await reader.read(100)


async def hang_up(*connections):
    for _, writer in connections:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await asyncio.wait_for(writer.wait_closed(), PATIENCE_S)


async def test_line_shares_connections_out(line):
    connections = [await connect(line) for _ in range(4)]
    answers = [await ask(each) for each in connections]
    assert sorted(answers) == [b"first hello"] * 2 + [b"second hello"] * 2
    await hang_up(*connections)


async def test_line_passes_by_a_target_that_is_down(line, targets):
    targets[0].close()
    for _ in range(3):
        connection = await connect(line)
        assert await ask(connection) == b"second hello"
        await hang_up(connection)


async def test_cut_line_holds_what_is_sent_until_it_is_healed(line):
    connection = await connect(line)
    await ask(connection)
    line.cut()
    asking = asyncio.create_task(ask(connection, b"still there?"))
    done, _ = await asyncio.wait([asking], timeout=0.2)
    assert not done
    line.heal()
    assert (await asking).endswith(b"still there?")
    await hang_up(connection)


async def test_reset_line_breaks_connections_and_takes_new_ones(line):
    connection = await connect(line)
    await ask(connection)
    line.reset()
    with contextlib.suppress(ConnectionResetError):
        async with asyncio.timeout(PATIENCE_S):
            assert await connection[0].read(100) == b""
    fresh = await connect(line)
    assert (await ask(fresh)).endswith(b"hello")
    await hang_up(connection, fresh)
