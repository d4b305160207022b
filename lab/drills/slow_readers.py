"""WebSocket clients that ask for much and read next to nothing."""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from urllib.parse import urlsplit

from websockets.frames import Frame, Opcode

from lab.capacity.sockets import handshake

PATH = "/ws/market"
CONNECT_TIMEOUT_S = 10.0
RECEIVE_BUFFER = 4096
# Together far more than the buffers on the way take.
QUESTIONS = 40


class SlowReaders:
    """`count` connections to one web process. Use it as a context manager."""

    def __init__(self, url: str, series: str, count: int) -> None:
        self._url = url
        self._question = {"type": "subscribe", "series_id": series, "since": 0}
        self._sockets = [self._connect() for _ in range(count)]

    def __enter__(self) -> SlowReaders:
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._sockets:
            each.close()

    def _connect(self) -> socket.socket:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        client.settimeout(CONNECT_TIMEOUT_S)
        address = urlsplit(self._url)
        client.connect((str(address.hostname), int(address.port or 0)))
        client.sendall(handshake(self._url, PATH))
        question = Frame(Opcode.TEXT, json.dumps(self._question).encode()).serialize(mask=True)
        client.sendall(question * QUESTIONS)
        client.setblocking(False)
        return client

    def read_a_byte_each(self) -> None:
        """Let each of them read one byte, if there is one."""
        for each in self._sockets:
            with suppress(OSError):
                each.recv(1)
