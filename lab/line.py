"""A TCP line between two processes that can be cut, and shared out over several targets.

A cut line is what a broken network looks like: connections stay, nothing arrives, nothing is
refused. What was sent meanwhile arrives once the line is healed, as TCP would deliver it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path

import uvloop

from lab.waiting import patience

HOST = "127.0.0.1"
CONNECT_TIMEOUT_S = 10.0
START_S = 5.0
CHUNK = 1 << 16

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Line:
    """Listens on a port of its own and forwards to its targets in turn, skipping dead ones.

    Its methods may be called from any thread. `targets` are ports on 127.0.0.1. With `tls` clients
    must connect by TLS, with `path` over a Unix socket there; the targets see plain TCP.
    """

    def __init__(
        self,
        targets: Sequence[int],
        *,
        tls: ssl.SSLContext | None = None,
        path: Path | None = None,
    ) -> None:
        self.targets = list(targets)
        self.port = 0
        """The port on 127.0.0.1; 0 with `path`."""
        self._tls = tls
        self._path = path
        self._turn = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._started: Future[int] = Future()
        self._thread = threading.Thread(target=lambda: uvloop.run(self._run()), daemon=True)

    def start(self) -> Line:
        """Begin to listen; the line's `port` is known afterwards."""
        self._thread.start()
        self.port = self._started.result(patience(START_S))
        return self

    def cut(self) -> None:
        """Let nothing through, in either direction, from now on."""
        self._call(self._is_whole.clear)

    def heal(self) -> None:
        """Let everything through again, beginning with what waits."""
        self._call(self._is_whole.set)

    def reset(self) -> None:
        """Abort every open connection; new ones are accepted."""
        self._call(self._abort_all)

    def close(self) -> None:
        """End the line and everything on it."""
        self._call(self._is_ending.set)
        self._thread.join()

    def _call(self, work: Callable[[], object]) -> None:
        self._loop.call_soon_threadsafe(work)

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._is_whole, self._is_ending = asyncio.Event(), asyncio.Event()
        self._is_whole.set()
        if self._path is not None:
            server = await asyncio.start_unix_server(self._accept, self._path)
            self._started.set_result(0)
        else:
            server = await asyncio.start_server(self._accept, HOST, 0, backlog=2048, ssl=self._tls)
            self._started.set_result(server.sockets[0].getsockname()[1])
        await self._is_ending.wait()
        server.close()
        self._is_whole.set()
        while self._tasks:
            self._abort_all()
            await asyncio.wait(self._tasks)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward in both directions until one side has ended."""
        self._writers.add(writer)
        far_end = await self._reach()
        if far_end is None:
            writer.transport.abort()
        else:
            far_reader, far_writer = far_end
            self._writers.add(far_writer)
            await asyncio.gather(
                self._forward(reader, far_writer), self._forward(far_reader, writer)
            )
            self._writers.discard(far_writer)
        self._writers.discard(writer)

    async def _reach(self) -> Streams | None:
        """Connect to the next target that answers."""
        for _ in range(len(self.targets)):
            self._turn += 1
            port = self.targets[self._turn % len(self.targets)]
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    return await asyncio.open_connection(HOST, port)
        return None

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on data, and at last the end of the connection, whenever the line is whole."""
        # uvloop raises RuntimeError for a connection that was aborted on this side.
        with contextlib.suppress(ConnectionError, RuntimeError):
            while data := await reader.read(CHUNK):
                await self._is_whole.wait()
                writer.write(data)
                await writer.drain()
        await self._is_whole.wait()
        writer.close()

    def _abort_all(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
