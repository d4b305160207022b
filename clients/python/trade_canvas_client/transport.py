"""Sends requests with httpx: timeouts, bounds, further attempts, and other servers."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

import httpx

from trade_canvas_client.errors import ConnectionFailed, UnexpectedAnswer
from trade_canvas_client.retry import Retry
from trade_canvas_client.wire import Answer, Reading, Request, T

MOST_BYTES = 256 * 1024 * 1024
AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Options:
    """How servers are reached. `timeout_s` is for a connection and for a whole answer each."""

    servers: tuple[str, ...]
    timeout_s: float = 30.0
    retry: Retry = field(default_factory=Retry)
    headers: Mapping[str, str] = field(default_factory=dict)
    verify: ssl.SSLContext | bool = True
    trust_env: bool = True

    def for_httpx(self) -> dict[str, Any]:
        """Return the arguments of a client of httpx."""
        return {
            "headers": dict(self.headers),
            "timeout": httpx.Timeout(self.timeout_s),
            "limits": httpx.Limits(max_connections=2 * AT_ONCE),
            # Reading the certificates of the system takes longer than a page.
            "verify": self.verify and any(each.startswith("https") for each in self.servers),
            "trust_env": self.trust_env,
        }


def servers_of(server: str | Sequence[str]) -> tuple[str, ...]:
    """Return the addresses without a slash at the end. Raises ValueError."""
    given = (server,) if isinstance(server, str) else tuple(server)
    if not given or not all(each.startswith(("http://", "https://")) for each in given):
        raise ValueError(f"not the address of a server (https://…): {server!r}")
    return tuple(each.rstrip("/") for each in given)


class Turns:
    """Whose turn it is among the servers: the same one until it fails."""

    def __init__(self, servers: Sequence[str]) -> None:
        self._servers = servers
        self._turn = 0

    @property
    def server(self) -> str:
        """The server to ask now."""
        return self._servers[self._turn % len(self._servers)]

    def passed(self, failed: str) -> None:
        """Go on to the next one, unless another request has done so."""
        if self.server == failed:
            self._turn += 1


class _Body:
    """An answer's body as it comes, within its limits of bytes and of time."""

    def __init__(self, response: httpx.Response, timeout_s: float) -> None:
        self._response = response
        self._end = time.monotonic() + timeout_s
        self._body = bytearray()

    def add(self, part: bytes) -> None:
        """Add a part. Raises httpx.ReadTimeout and UnexpectedAnswer."""
        self._body += part
        if len(self._body) > MOST_BYTES:
            raise UnexpectedAnswer(f"the answer is longer than {MOST_BYTES} bytes")
        if time.monotonic() > self._end:
            raise httpx.ReadTimeout("the whole answer took too long")

    def answer(self) -> Answer:
        """Return the whole answer."""
        headers = dict(self._response.headers.items())
        return Answer(self._response.status_code, headers, bytes(self._body))


class SyncTransport:
    """Runs readings; may be used from several threads."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self._turns = Turns(options.servers)
        self._http = httpx.Client(**options.for_httpx())
        self._threads = ThreadPoolExecutor(AT_ONCE, "trade-canvas-client")

    def close(self) -> None:
        """Close its connections."""
        self._threads.shutdown()
        self._http.close()

    def run(self, reading: Reading[T]) -> T:
        """Send what the reading asks for, and return what it read. Raises TradeCanvasError."""
        try:
            requests = next(reading)
            while True:
                if len(requests) == 1:
                    answers = [self._send(requests[0])]
                else:
                    answers = list(self._threads.map(self._send, requests))
                requests = reading.send(answers)
        except StopIteration as done:
            result: T = done.value
            return result

    def _send(self, request: Request) -> Answer:
        for attempt in range(1, self.options.retry.attempts + 1):
            server = self._turns.server
            answer, failure = None, None
            try:
                answer = self._sent(server, request)
            except httpx.HTTPError as error:
                failure = error
            pause = self.options.retry.pause(attempt, answer)
            if answer is not None and pause is None:
                return answer
            self._turns.passed(server)
            if pause is None:
                break
            time.sleep(pause)
        raise _failed(server, failure)

    def _sent(self, server: str, request: Request) -> Answer:
        with self._http.stream("GET", f"{server}{request.path}", **_arguments(request)) as response:
            body = _Body(response, self.options.timeout_s)
            for part in response.iter_bytes():
                body.add(part)
            return body.answer()


class AsyncTransport:
    """Runs readings on one event loop."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.turns = Turns(options.servers)
        self._http = httpx.AsyncClient(**options.for_httpx())

    async def close(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def run(self, reading: Reading[T], retry: Retry | None = None) -> T:
        """Send what the reading asks for, and return what it read. Raises TradeCanvasError."""
        try:
            requests = next(reading)
            while True:
                sending = map(self._send, requests, repeat(retry or self.options.retry))
                if len(requests) == 1:
                    answers = [await next(sending)]
                else:
                    answers = await _gathered(sending)
                requests = reading.send(answers)
        except StopIteration as done:
            result: T = done.value
            return result

    async def _send(self, request: Request, retry: Retry) -> Answer:
        for attempt in range(1, retry.attempts + 1):
            server = self.turns.server
            answer, failure = None, None
            try:
                answer = await self._sent(server, request)
            except httpx.HTTPError as error:
                failure = error
            pause = retry.pause(attempt, answer)
            if answer is not None and pause is None:
                return answer
            self.turns.passed(server)
            if pause is None:
                break
            await asyncio.sleep(pause)
        raise _failed(server, failure)

    async def _sent(self, server: str, request: Request) -> Answer:
        url = f"{server}{request.path}"
        async with self._http.stream("GET", url, **_arguments(request)) as response:
            body = _Body(response, self.options.timeout_s)
            async for part in response.aiter_bytes():
                body.add(part)
            return body.answer()


async def _gathered(sending: Iterable[Coroutine[Any, Any, Answer]]) -> list[Answer]:
    """Send all; when one fails, the others are cancelled."""
    tasks = [asyncio.create_task(each) for each in sending]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _arguments(request: Request) -> dict[str, Any]:
    return {"params": list(request.query), "headers": dict(request.headers)}


def _failed(server: str, failure: httpx.HTTPError | None) -> ConnectionFailed:
    error = ConnectionFailed(f"{server} did not answer: {failure!r}")
    error.__cause__ = failure
    return error
