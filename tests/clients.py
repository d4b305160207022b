"""A client of the sync contract for tests: HTTP catch-up, WebSocket follow, merge by time."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp

TIMEOUT_S = 30.0
NAMES = ("candle_time", "open", "high", "low", "close", "volume")


class Client:
    """Talks to one web process. Use it as an async context manager."""

    def __init__(self, url: str, token: str = "") -> None:
        self._url = url
        self._token = token
        self._followers: list[Follower] = []

    async def __aenter__(self) -> Client:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        self._session = aiohttp.ClientSession(self._url, timeout=timeout)
        return self

    async def __aexit__(self, *_: object) -> None:
        for follower in self._followers:
            follower.cut()
        await self._session.close()

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
        """Open a WebSocket."""
        follower = Follower(await self._session.ws_connect(path, max_msg_size=0))
        self._followers.append(follower)
        return follower

    async def say_hello(self, follower: Follower) -> None:
        """Wait until the server has dealt with all that was said: it answers nonsense in turn."""
        await follower.say(type="hello")
        while (await follower.next()).get("message") != "unknown message type: hello":
            pass

    async def follow(self, series_id: str, since: int | None = None, **more: Any) -> Follower:
        """Open a WebSocket and subscribe."""
        follower = await self.connect()
        await follower.say(type="subscribe", series_id=series_id, since=since, **more)
        return follower


class Follower:
    """One WebSocket connection, read message by message."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.messages: list[dict[str, Any]] = []

    def cut(self) -> None:
        """End the connection without a word, unless it has ended."""
        connection = self.socket._response.connection
        if connection is not None:
            if connection.transport is not None:
                connection.transport.abort()
            connection.close()

    async def say(self, **message: Any) -> None:
        await self.socket.send_json(message)

    async def next(self, timeout: float = TIMEOUT_S) -> dict[str, Any]:
        """The next message; AssertionError when the connection ends instead."""
        frame = await self.socket.receive(timeout)
        assert frame.type is aiohttp.WSMsgType.TEXT, (frame, self.socket.close_code)
        message: dict[str, Any] = json.loads(frame.data)
        self.messages.append(message)
        return message

    async def next_of(self, kind: str, timeout: float = TIMEOUT_S) -> dict[str, Any]:
        """The next message of a type; others are kept and passed over."""
        async with asyncio.timeout(timeout):
            while (message := await self.next(timeout))["type"] != kind:
                pass
            return message

    async def silence(self, seconds: float = 0.5) -> bool:
        """Whether nothing but forming candles comes for a while."""
        try:
            async with asyncio.timeout(seconds):
                while (await self.next(seconds + 1))["type"] == "candle_forming":
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

    async def closed_by(self, timeout: float = TIMEOUT_S) -> int | None:
        """Read until the connection ends; its close code."""
        async with asyncio.timeout(timeout):
            async for _ in self.socket:
                pass
        return self.socket.close_code
