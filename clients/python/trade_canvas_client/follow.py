"""Follows one series: catches up over HTTP, follows over the WebSocket, resumes after failures.

The contract is docs/sync.md: a cursor that only moves forward, an epoch and a generation that are
sent when the connection begins, and HTTP for whatever is missing.
"""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import time
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import aclosing
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from trade_canvas_client.candle_reads import Page, read_page, read_range
from trade_canvas_client.columns import VALUES, Candle, Candles
from trade_canvas_client.errors import (
    ApiError,
    ConnectionFailed,
    NotFound,
    RateLimited,
    SubscriptionRefused,
    TradeCanvasError,
    Unavailable,
    UnexpectedAnswer,
    api_error,
)
from trade_canvas_client.kept import Kept
from trade_canvas_client.place import Place
from trade_canvas_client.retry import Retry
from trade_canvas_client.times import shortest_step_of, step_of
from trade_canvas_client.transport import AsyncTransport
from trade_canvas_client.updates import (
    Closed,
    FactorsRebuilt,
    Forming,
    Gap,
    Interrupted,
    Live,
    Reset,
    Revised,
    Update,
)

logger = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 32 * 1024 * 1024
CLOSE_TIMEOUT_S = 2.0
SILENT_S = 10.0
REFUSED_PAUSE_S = 5.0
ONCE = Retry(attempts=1)
HELLO = json.dumps({"type": "hello", "heartbeat": True})
HELLO_UNKNOWN = "unknown message type: hello"
FINAL = frozenset(
    {"bad_request", "exchange_not_served", "series_alias", "too_many_subscriptions"}
    | {"unknown_symbol"}
)
"""Codes of refusals that another try does not change."""


class _Lost(Exception):
    """The connection is of no more use; `pause_s` is the least to wait."""

    def __init__(self, reason: str, pause_s: float = 0.0) -> None:
        super().__init__(reason)
        self.pause_s = pause_s


class Follower:
    """One follower of one series; `updates` is what it reports."""

    def __init__(
        self,
        transport: AsyncTransport,
        series_id: str,
        place: Place,
        *,
        forming: bool = False,
        give_up_s: float | None = None,
    ) -> None:
        self._transport = transport
        self._series_id = series_id
        self._step = step_of(series_id)
        self._shortest = shortest_step_of(series_id)
        self._cursor = place.since
        self._start = place.start
        if self._start is None and self._cursor is not None:
            self._start = self._cursor + 1
        self._epoch = place.epoch
        self._generation = place.generation
        self._forming = forming
        self._give_up_s = give_up_s
        self._kept = Kept(0)
        self._failures = 0
        self._reached_at = time.monotonic()

    async def updates(self) -> AsyncGenerator[Update]:
        """Report until closed. Raises TradeCanvasError for what another try does not change."""
        while True:
            try:
                async with aclosing(self._one_connection()) as updates:
                    async for update in updates:
                        yield update
            except (ApiError, ConnectionFailed, UnexpectedAnswer) as error:
                if not _may_pass(error):
                    raise
                asked = error.retry_after_s if isinstance(error, ApiError) else None
                lost = _Lost(str(error), asked or 0.0)
            except _Lost as error:
                lost = error
            self._failures += 1
            if self._give_up_s is not None:
                away_s = time.monotonic() - self._reached_at
                if away_s > self._give_up_s:
                    raise ConnectionFailed(f"not reached for {away_s:.0f} s: {lost}")
            pause = max(lost.pause_s, self._transport.options.retry.backoff(self._failures))
            logger.info("%s: %s; trying again in %.1f s", self._series_id, lost, pause)
            yield Interrupted(str(lost), pause)
            await asyncio.sleep(pause)

    async def _one_connection(self) -> AsyncGenerator[Update]:
        """Catch up and follow until the connection is lost."""
        async for update in self._catch_up():
            yield update
        server = self._transport.turns.server
        try:
            async with (
                _opened(server, self._transport) as socket,
                aclosing(self._follow(socket)) as updates,
            ):
                async for update in updates:
                    yield update
        except InvalidStatus as error:
            self._transport.turns.passed(server)
            raise _refusal(error) from error
        except ConnectionClosed as error:
            self._transport.turns.passed(server)
            code = error.rcvd.code if error.rcvd else 1006
            raise _Lost(f"{server} closed with {code}") from error
        except (WebSocketException, OSError, TimeoutError, EOFError) as error:
            self._transport.turns.passed(server)
            raise _Lost(f"{server}: {error!r}") from error

    async def _follow(self, socket: ClientConnection) -> AsyncGenerator[Update]:
        subscribe = {
            "type": "subscribe",
            "series_id": self._series_id,
            "since": self._cursor,
            "epoch": self._epoch,
            "generation": self._generation,
            "supports_batch": True,
        }
        await socket.send(json.dumps(subscribe))
        await socket.send(HELLO)
        is_live = has_heartbeat = False
        while True:
            message = await _received(socket, SILENT_S if has_heartbeat else None)
            has_heartbeat = has_heartbeat or message.get("type") == "heartbeat"
            if message.get("message") != HELLO_UNKNOWN:
                async for update in self._take(message):
                    yield update
            self._failures, self._reached_at = 0, time.monotonic()
            if not is_live:
                is_live = True
                yield Live(self._cursor)

    async def _take(self, message: dict[str, Any]) -> AsyncGenerator[Update]:
        """Report what a message brings. A `gap` is found at the candle behind it."""
        kind = message.get("type")
        try:
            if kind == "candle_closed":
                updates = self._arrived([_candle(message["candle"])])
            elif kind == "candles_batch":
                updates = self._arrived([_candle(each) for each in message["candles"]])
            elif kind == "candle_forming":
                updates = self._formed(_candle(message["candle"]))
            elif kind == "system":
                updates = self._noticed(message.get("event"), message.get("data"))
            elif kind == "error":
                raise _error(message)
            else:
                return
            async for update in updates:
                yield update
        except (KeyError, TypeError) as error:
            raise UnexpectedAnswer(f"not a message of the protocol: {error!r}") from error

    async def _formed(self, candle: Candle) -> AsyncGenerator[Update]:
        if self._forming and (self._cursor is None or candle.candle_time > self._cursor):
            yield Forming(candle)

    async def _noticed(self, event: object, data: Any) -> AsyncGenerator[Update]:
        if event == "factor.rebuild":
            yield FactorsRebuilt(data["from_time"])
        if event == "candle.revised":
            async for update in self._revised(data["from_time"], data["epoch"]):
                yield update

    # Candles

    async def _catch_up(self) -> AsyncGenerator[Update]:
        """Read over HTTP from the cursor to the head."""
        if self._cursor is None:
            page = await self._page(None, 1)
            self._adopt(page)
            if page.columns.times:
                self._cursor = page.columns.times[-1]
                self._start = self._cursor + 1 if self._start is None else self._start
            return
        while True:
            page = await self._page(self._cursor)
            if self._generation not in (None, page.version.generation):
                yield await self._reset()
                continue
            self._adopt(page)
            for update in self._next(page.columns):
                yield update
            if page.is_last:
                return

    async def _arrived(self, candles: list[Candle]) -> AsyncGenerator[Update]:
        """Report candles of the socket; what is missing before one is read first."""
        for candle in candles:
            if self._cursor is None:
                self._start = candle.candle_time if self._start is None else self._start
            elif 0 < self._cursor < candle.candle_time - self._step:
                async for update in self._catch_up():
                    yield update
            for update in self._next([candle]):
                yield update

    def _next(self, candles: Iterable[Candle]) -> Iterator[Update]:
        """Report those beyond the cursor, with a gap for each hole, and move it."""
        for candle in candles:
            before, after = self._cursor, candle.candle_time
            if before is not None and after <= before:
                continue
            if before and after > before + self._step:
                yield Gap(before + self._shortest, after)
            self._cursor = after
            yield Closed(candle)

    async def _revised(self, from_time: int, epoch: int) -> AsyncGenerator[Update]:
        """Read again what was revised; its epoch counts once that was taken."""
        if from_time <= 0:
            yield await self._reset()
            return
        first = max(from_time, self._start or 0)
        last = first - 1 if self._cursor is None else self._cursor
        candles = await self._range(first, last)
        if self._generation not in (None, candles.generation):
            yield await self._reset()
            return
        yield Revised(from_time, candles)
        self._generation = candles.generation
        self._epoch = min(epoch, candles.epoch)

    async def _reset(self) -> Reset:
        """Read everything from the oldest time again, in the past that the store has now."""
        start = self._start or 0
        while True:
            candles = await self._range(start, None)
            head = await self._page(None, 1)
            if head.version.generation == candles.generation:
                break
        newest = candles.columns.times[-1] if len(candles) else None
        if newest is None and head.columns.times:
            newest = min(start - 1, head.columns.times[-1])
        self._cursor = newest
        self._generation, self._epoch = candles.generation, candles.epoch
        return Reset(candles)

    def _adopt(self, page: Page) -> None:
        """Keep the oldest epoch of what was read: later pages do not make the others newer."""
        epoch, self._generation = page.version.epoch, page.version.generation
        self._epoch = epoch if self._epoch is None else min(self._epoch, epoch)

    async def _page(self, since: int | None, limit: int = 5000) -> Page:
        return await self._transport.run(read_page(self._series_id, since, limit), ONCE)

    async def _range(self, first: int, last: int | None) -> Candles:
        if last is not None and last < first:
            page = await self._page(None, 1)
            return Candles(self._series_id, *page.version, page.columns.between(1, 0), first)
        reading = read_range(self._series_id, first, last, kept=self._kept)
        return await self._transport.run(reading, ONCE)


def _opened(server: str, transport: AsyncTransport) -> connect:
    """Open the connection; its queue is bounded, so that a slow caller slows the server down."""
    options = transport.options
    secure: dict[str, Any] = {}
    if server.startswith("https"):
        context = options.verify
        if context is True:
            context = ssl.create_default_context()
        elif context is False:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        secure["ssl"] = context
    return connect(
        f"ws{server.removeprefix('http')}/ws/market",
        additional_headers=dict(options.headers),
        open_timeout=options.timeout_s,
        close_timeout=CLOSE_TIMEOUT_S,
        max_size=MAX_MESSAGE_BYTES,
        compression=None,
        proxy=True if options.trust_env else None,
        **secure,
    )


async def _received(socket: ClientConnection, silent_s: float | None) -> dict[str, Any]:
    """Return the next message. Raises _Lost when none comes, once the server sends heartbeats."""
    try:
        async with asyncio.timeout(silent_s):
            message = json.loads(await socket.recv())
    except TimeoutError:
        raise _Lost(f"no message for {silent_s:g} s") from None
    except ValueError as error:
        raise UnexpectedAnswer(f"not a message of the protocol: {error}") from error
    if not isinstance(message, dict):
        raise UnexpectedAnswer("not a message of the protocol")
    return message


def _candle(found: dict[str, Any]) -> Candle:
    return Candle(found["candle_time"], *(float(found[name]) for name in VALUES))


def _error(message: dict[str, Any]) -> Exception:
    """Return what an error of the server's means."""
    code, text = str(message["code"]), str(message.get("message", ""))
    if code in FINAL:
        return SubscriptionRefused(code, text, message.get("canonical_series_id"))
    return _Lost(f"{code}: {text}", REFUSED_PAUSE_S)


def _refusal(error: InvalidStatus) -> Exception:
    """Return what a refused handshake means."""
    response = error.response
    try:
        body = json.loads(response.body or b"")
    except ValueError:
        body = None
    asked = response.headers.get("Retry-After", "")
    pause = float(asked) if asked.isascii() and asked.isdigit() else 0.0
    # A process that is ending refuses with 403 too, and without a body.
    if response.status_code in (429, 502, 503, 504) or body is None:
        return _Lost(f"the handshake was refused with {response.status_code}", pause)
    return api_error(response.status_code, body, pause)


def _may_pass(error: TradeCanvasError) -> bool:
    if isinstance(error, ApiError):
        return isinstance(error, RateLimited | Unavailable) or error.status >= 500
    return not isinstance(error, NotFound | SubscriptionRefused)
