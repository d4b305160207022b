"""A client for tests: HTTP requests that must succeed, and WebSockets read message by message."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
from websockets.frames import Opcode

from lab.http import get
from lab.program import Program
from lab.sockets import REFUSED, Socket, connect
from lab.waiting import patience
from tests.wire_schema import complaints_of_request, complaints_of_sent

TIMEOUT_S = 10.0
NAMES = ("candle_time", "open", "high", "low", "close", "volume")


def head_of(web: Program, series_id: str) -> int | None:
    """Time of the newest candle that a web process serves; None without one, or without success."""
    status, page = get(f"{web.url}/api/market/candles?series_id={series_id}&limit=1")
    return page["server_head_time"] if status == 200 else None


class Client:
    """Talks to one web process. Use it as an async context manager."""

    def __init__(self, url: str, token: str = "") -> None:
        self._url = url
        self._token = token
        self._followers: list[Follower] = []

    async def __aenter__(self) -> Client:
        timeout = aiohttp.ClientTimeout(total=patience(TIMEOUT_S))
        self._session = aiohttp.ClientSession(self._url, timeout=timeout)
        return self

    async def __aexit__(self, *_: object) -> None:
        for follower in self._followers:
            follower.cut()
        for follower in self._followers:
            await follower.has_ended.wait()
        await self._session.close()
        complaints = [each for follower in self._followers for each in follower.complaints]
        assert not complaints, complaints

    async def get(self, path: str, **query: Any) -> Any:
        """A GET that must succeed."""
        async with self._session.get(path, params=query) as answer:
            assert answer.status == 200, (answer.status, await answer.text())
            return await answer.json()

    async def post(self, path: str, body: Any) -> Any:
        """A POST that must succeed."""
        headers = {"Authorization": f"Bearer {self._token}"}
        async with self._session.post(path, json=body, headers=headers) as answer:
            assert answer.status == 200, (answer.status, await answer.text())
            return await answer.json()

    async def candles(self, series_id: str, **query: Any) -> list[dict[str, Any]]:
        """One page of candles."""
        found = await self.get("/api/market/candles", series_id=series_id, **query)
        return list(found["candles"])

    async def ingest(self, series_id: str, *candles: tuple[float, ...]) -> None:
        """Post closed candles one by one: (candle_time, open, high, low, close, volume)."""
        for candle in candles:
            body = {"series_id": series_id, "candle": dict(zip(NAMES, candle, strict=True))}
            await self.post("/api/market/ingest/candle_closed", body)

    async def ingest_batch(self, series_id: str, candles: list[tuple[float, ...]]) -> None:
        """Post closed candles in one batch that is published."""
        rows = [dict(zip(NAMES, candle, strict=True)) for candle in candles]
        body = {"series_id": series_id, "candles": rows, "publish_ws": True}
        await self.post("/api/dev/market/ingest/candles_closed_batch", body)

    async def connect(self, path: str = "/ws/market") -> Follower:
        """Open a WebSocket. Raises ConnectionRefusedError with the status of a refusal."""
        follower = Follower()
        await connect(follower, self._url, path, patience(TIMEOUT_S))
        self._followers.append(follower)
        await follower.wait_open()
        return follower

    async def settle(self, follower: Follower) -> None:
        """Wait until the server has handled everything sent: it answers nonsense in turn."""
        await follower.send(type="noop")
        while (await follower.next()).get("message") != "unknown message type: noop":
            pass

    async def follow(self, series_id: str, since: int | None = None, **more: Any) -> Follower:
        """Open a WebSocket and subscribe."""
        follower = await self.connect()
        await follower.send(type="subscribe", series_id=series_id, since=since, **more)
        return follower


class Follower:
    """One WebSocket connection, read message by message; a Listener of lab.sockets."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        """Everything that was read so far."""
        self.complaints: list[str] = []
        """What of both sides does not follow the AsyncAPI document."""
        self.has_ended = asyncio.Event()
        self._socket: Socket | None = None
        self._unread: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._is_open = asyncio.Event()
        self._ending = (0, "")

    def connected(self, socket: Socket) -> None:
        self._socket = socket

    def opened(self) -> None:
        self._is_open.set()

    def received(self, payload: bytes, at: float) -> None:
        self.complaints += complaints_of_sent(payload)
        self._unread.put_nowait(payload)

    def pinged(self) -> None:
        pass

    def closed(self, code: int, reason: str) -> None:
        self._ending = (code, reason)
        self._unread.put_nowait(None)
        self._is_open.set()
        self.has_ended.set()

    async def wait_open(self) -> None:
        """Wait for the handshake. Raises ConnectionRefusedError with the status of a refusal."""
        async with asyncio.timeout(patience(TIMEOUT_S)):
            await self._is_open.wait()
        if self._ending[0] > REFUSED:
            raise ConnectionRefusedError(self._ending[0] - REFUSED)

    async def send(self, **message: Any) -> None:
        """Send a message as JSON."""
        await self.send_text(json.dumps(message))

    async def send_text(self, text: str) -> None:
        """Send any text."""
        self.complaints += complaints_of_request(text)
        self._send(text.encode("utf-8", "surrogatepass"), Opcode.TEXT)

    async def send_bytes(self, data: bytes) -> None:
        """Send a binary message."""
        self._send(data, Opcode.BINARY)

    def _send(self, data: bytes, opcode: Opcode) -> None:
        assert self._socket is not None
        self._socket.send(data, opcode)

    async def next_text(self, timeout_s: float = TIMEOUT_S) -> str:
        """The next message as text; AssertionError when the connection ends instead."""
        async with asyncio.timeout(patience(timeout_s)):
            payload = await self._unread.get()
        assert payload is not None, self._ending
        return payload.decode()

    async def next(self, timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
        """The next message; AssertionError when the connection ends instead."""
        message: dict[str, Any] = json.loads(await self.next_text(timeout_s))
        self.messages.append(message)
        return message

    async def next_of(self, kind: str) -> dict[str, Any]:
        """The next message of a type; others are kept and passed over."""
        async with asyncio.timeout(patience(TIMEOUT_S)):
            while (message := await self.next())["type"] != kind:
                pass
            return message

    async def silence(self, seconds: float = 0.5) -> bool:
        """Whether nothing but forming candles comes for a while."""
        try:
            async with asyncio.timeout(seconds):
                while (await self.next())["type"] == "candle_forming":
                    pass
        except TimeoutError:
            return True
        return False

    def closed_times(self) -> list[int]:
        """Open times of all closed candles so far, in the order they came."""
        times = []
        for message in self.messages:
            if message["type"] == "candle_closed":
                times.append(message["candle"]["candle_time"])
            times += [candle["candle_time"] for candle in message.get("candles", [])]
        return times

    async def ending(self) -> tuple[int, str]:
        """Read until the connection ends; the code and the reason of its close."""
        async with asyncio.timeout(patience(TIMEOUT_S)):
            while (payload := await self._unread.get()) is not None:
                self.messages.append(json.loads(payload))
        return self._ending

    async def leave(self) -> None:
        """Close the connection in an orderly way, unless it has ended."""
        assert self._socket is not None
        self._socket.leave()
        await self.has_ended.wait()

    def cut(self) -> None:
        """Abort the connection, unless it has ended."""
        if self._socket is not None:
            self._socket.drop()
