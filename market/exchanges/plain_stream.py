"""Live candles of all other exchanges, whose streams have no final flag.

A candle is closed when the next one opens. The first candle after each connection is left to a
REST read, because some exchanges build it from the trades since the connection. Series without a
stream are polled over REST.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import ccxt
from typing_extensions import override

from market.domain.candle import Candle
from market.domain.feed import (
    NO_STREAM,
    Closed,
    FeedError,
    FeedEvent,
    FeedRefused,
    Forming,
    Interrupted,
    Source,
    SourceKind,
)
from market.domain.series import SeriesId
from market.exchanges.ccxt_client import feed_errors, open_sibling, symbol_of
from market.exchanges.ccxt_history import History
from market.exchanges.doubt import DOUBTS, UNSERVED, Doubt
from market.exchanges.polling import poll
from market.exchanges.rate_limit import YIELDS
from market.exchanges.rows import checked
from market.exchanges.socket_plan import MOST_BREAKS, Socket, SocketPlan
from market.exchanges.streams import (
    UNSUBSCRIBE_TIMEOUT_S,
    EventQueue,
    LiveStream,
    StreamLimits,
    close_sockets,
    detach,
    is_sending,
    unless_closed,
)
from market.stopping import stop

logger = logging.getLogger(__name__)

# Errors of one socket's series within this time are one break of it.
SAME_BREAK_S = 1.0


class NextOpens:
    """Finds the closed candles of one series by the opening of the next one."""

    def __init__(self, series: SeriesId) -> None:
        self._series = series
        self._forming: Candle | None = None
        # Whether the forming candle was seen from its beginning.
        self._is_whole = False

    def take(self, candles: Iterable[Candle]) -> Iterator[FeedEvent]:
        """The events for these states of candles (ascending)."""
        for candle in candles:
            before = self._forming
            if before is not None and candle.candle_time < before.candle_time:
                # A late correction.
                yield Closed(self._series, candle)
                continue
            if before is not None and candle.candle_time > before.candle_time:
                if self._is_whole:
                    yield Closed(self._series, before)
                self._is_whole = True
            self._forming = candle
            yield Forming(self._series, candle)


@dataclass(slots=True, eq=False)
class _Connection:
    """A ccxt object of its own with the one socket that it uses. Times are monotonic."""

    socket: Socket
    exchange: Any
    last_at: float
    broke_at: float = 0.0
    breaks: int = 0


class PlainStream(LiveStream):
    """One task for each series, and a ccxt object for each socket: a few series share one."""

    def __init__(
        self,
        exchange: Any,
        history: History,
        *,
        queue: EventQueue,
        limits: StreamLimits,
    ) -> None:
        self._exchange = exchange
        self._history = history
        self._queue = queue
        self._limits = limits
        self._plan = SocketPlan(exchange.venue, room=limits.series_a_socket, sockets=limits.sockets)
        self._connections: dict[str, _Connection] = {}
        self._tasks: dict[SeriesId, asyncio.Task[None]] = {}
        # Until their socket has served them; the refusals that may be theirs; when they last sent.
        self._doubts: dict[SeriesId, Doubt] = {}
        self._refusals: dict[SeriesId, str] = {}
        self._heard: dict[SeriesId, float] = {}
        self._wanted: frozenset[SeriesId] = frozenset()
        self._pinned: frozenset[SeriesId] = frozenset()
        self._wake = asyncio.Event()

    @override
    def follow(self, series: frozenset[SeriesId], pinned: frozenset[SeriesId]) -> None:
        self._wanted, self._pinned = series, pinned
        self._wake.set()

    @override
    def source(self, series: SeriesId) -> Source | None:
        if (reason := self._plan.unserved.get(series)) is not None:
            return Source(SourceKind.POLL, reason)
        return Source(SourceKind.STREAM) if self._plan.socket_of(series) is not None else None

    @override
    async def run(self) -> None:
        while True:
            self._wake.clear()
            for series in [one for one in self._tasks if one not in self._wanted]:
                await stop([self._tasks.pop(series)])
                await self._leave(series)
            new = self._wanted - self._tasks.keys()
            for series in sorted(new, key=lambda each: (each not in self._pinned, each)):
                self._tasks[series] = asyncio.create_task(self._follow_one(series))
            await self._wake.wait()

    @override
    async def close(self) -> None:
        await stop(self._tasks.values())
        for connection in list(self._connections.values()):
            await self._drop(connection)

    async def _follow_one(self, series: SeriesId) -> None:
        YIELDS.set(series not in self._pinned)
        attempts = 0
        while True:
            try:
                name = await self._load(series)
                until = float("inf")
                if self._exchange.has.get("watchOHLCV"):
                    has_streamed = await self._stream(series, name)
                    attempts = 1 if has_streamed else attempts + 1
                    until = time.monotonic() + self._limits.restream_after(attempts)
                else:
                    self._plan.unserved[series] = NO_STREAM
                logger.warning("%s is polled: %s", series, self._plan.unserved.get(series))
                await poll(
                    series, self._history, queue=self._queue, limits=self._limits, until=until
                )
                self._plan.leave([series])
            except FeedRefused as error:
                logger.warning("not followed: %s", error)
                return
            except Exception:
                logger.exception("%s: following failed", series)
                self._queue.put(Interrupted(series, "following failed"))
                await asyncio.sleep(self._limits.longest_retry)

    async def _load(self, series: SeriesId) -> str:
        failures = 0
        while True:
            try:
                return await self._history.load(series)
            except FeedRefused:
                raise
            except FeedError as error:
                failures += 1
                self._queue.put(Interrupted(series, str(error)))
                await asyncio.sleep(self._limits.retry_after(failures))

    async def _stream(self, series: SeriesId, name: str) -> bool:
        """Stream until the exchange does not serve this series; return whether it ever did."""
        failures = 0
        has_streamed = False
        while series not in self._plan.unserved:
            connection = self._connection_of(series)
            if connection is None:
                break
            heard_at = self._heard.get(series)
            try:
                await self._listen(connection, series, name)
            except FeedError as error:
                has_heard = self._heard.get(series) != heard_at
                has_streamed = has_streamed or has_heard
                failures = 1 if has_heard else failures + 1
                if _is_refusal(error):
                    self._refused(connection, series, error)
                else:
                    self._broke(connection, series, error)
                    # ccxt's cache outlives the socket and would hide a hole.
                    (connection.exchange.ohlcvs.get(symbol_of(series)) or {}).pop(name, None)
                await asyncio.sleep(self._limits.retry_after(failures))
        return has_streamed

    async def _listen(self, connection: _Connection, series: SeriesId, name: str) -> None:
        """Queue what arrives until the series has another socket; raises FeedError.

        That is when the stream breaks, when it falls silent, or for a refusal of the exchange.
        """
        opens = NextOpens(series)
        while self._plan.socket_of(series) is connection.socket:
            rows = await self._watch(connection, series, name)
            if rows is None:
                continue
            connection.last_at = self._heard[series] = time.monotonic()
            if self._doubts.pop(series, None) is not None:
                self._refusals.pop(series, None)
                self._plan.answered(series)
            for event in opens.take(rows):
                self._queue.put(event)

    async def _watch(
        self, connection: _Connection, series: SeriesId, name: str
    ) -> list[Candle] | None:
        """The next states of candles; None after a look at REST instead of the first ones."""
        patience = self._limits.patience_of(series.timeframe)
        doubt = self._doubts.get(series)
        wait_s = patience if doubt is None else max(0.05, doubt.check_at - time.monotonic())
        with feed_errors(str(series)):
            try:
                async with asyncio.timeout(wait_s):
                    watched = connection.exchange.watch_ohlcv(symbol_of(series), name)
                    rows = await unless_closed(watched)
                    # Copied at once: ccxt changes the rows later.
                    return checked(rows, series)
            except TimeoutError:
                if doubt is not None:
                    await self._ask(connection, series, doubt)
                    return None
                self._plan.doubted(series)
                self._doubts[series] = Doubt(series, self._history, self._limits)
                if time.monotonic() - connection.last_at > patience:
                    # All its series are silent: a new socket.
                    await self._close_sockets(connection)
                else:
                    await self._unwatch(connection, series)
                raise

    # Sockets

    def _connection_of(self, series: SeriesId) -> _Connection | None:
        """The connection for a series; None when there may be no more of them."""
        socket = self._plan.socket_of(series)
        if socket is None:
            socket = self._plan.place(series, is_pinned=series in self._pinned)
            if socket is None:
                return None
            self._doubts[series] = Doubt(series, self._history, self._limits)
        connection = self._connections.get(socket.number)
        if connection is None:
            is_used = any(each.exchange is self._exchange for each in self._connections.values())
            exchange = open_sibling(self._exchange) if is_used else self._exchange
            connection = _Connection(socket, exchange, time.monotonic())
            self._connections[socket.number] = connection
        return connection

    def _refused(self, connection: _Connection, series: SeriesId, error: FeedError) -> None:
        """A refusal arrived: for this series, or for another one of the socket.

        ccxt does not always know whose it is. One that has been served goes on; the others have
        until their next look at REST to be served.
        """
        if series in connection.socket.answered:
            return
        if isinstance(error, FeedRefused):
            self._plan.set_unserved(series, f"refused: {error}")
        else:
            self._refusals[series] = f"refused: {error}"

    def _broke(self, connection: _Connection, series: SeriesId, error: FeedError) -> None:
        """The socket broke or fell silent; it carries fewer series if it keeps breaking."""
        self._queue.put(Interrupted(series, str(error)))
        self._history.distrust_clock()
        now = time.monotonic()
        # All series of a socket report the same break.
        if not _is_break(error) or now - connection.broke_at < SAME_BREAK_S:
            return
        is_soon = now - connection.broke_at < self._limits.settled
        connection.breaks = connection.breaks + 1 if is_soon else 1
        connection.broke_at = now
        if connection.breaks >= MOST_BREAKS and len(connection.socket.series) > 1:
            connection.breaks = 0
            self._plan.refused(sorted(connection.socket.series), str(error))

    async def _ask(self, connection: _Connection, series: SeriesId, doubt: Doubt) -> None:
        """Look at REST for a series on whose subscription nothing has arrived yet."""
        socket = connection.socket
        if is_sending(connection.exchange.clients.values()):
            doubt.put_off()
            return
        doubted = sorted(series for series in socket.series if series in self._doubts)
        if not socket.answered and series not in doubted[:DOUBTS]:
            # The first few stand for all while nothing was received at all.
            doubt.check_at = time.monotonic() + self._limits.doubt_of(series.timeframe)
            return
        is_unserved = await doubt.is_unserved()
        refusal = self._refusals.get(series)
        if self._plan.socket_of(series) is not socket or not (is_unserved or refusal):
            return
        is_alone = bool(socket.answered) or refusal is not None
        found = [series] if is_alone else doubted
        kept = self._plan.refused(found, refusal or UNSERVED)
        logger.info("%s socket %s: %s", self._plan.venue, socket.number, refusal or UNSERVED)
        for each in found:
            self._refusals.pop(each, None)
            self._doubts[each] = Doubt(each, self._history, self._limits)
        if not socket.series:
            await self._drop(connection)
        elif kept:
            # Nothing is served there, so nothing is lost, and all are subscribed again.
            await self._close_sockets(connection)
        elif refusal is None:
            await self._unwatch(connection, series)

    async def _leave(self, series: SeriesId) -> None:
        socket = self._plan.socket_of(series)
        self._plan.leave([series])
        for known in (self._doubts, self._refusals, self._heard):
            known.pop(series, None)
        connection = self._connections.get(socket.number) if socket is not None else None
        if connection is not None and connection.socket.series:
            await self._unwatch(connection, series)
        elif connection is not None:
            await self._drop(connection)

    async def _unwatch(self, connection: _Connection, series: SeriesId) -> None:
        if not connection.exchange.has.get("unWatchOHLCV"):
            return
        with contextlib.suppress(FeedError), feed_errors("unsubscribe"):
            name = await self._history.load(series)
            async with asyncio.timeout(UNSUBSCRIBE_TIMEOUT_S):
                await unless_closed(connection.exchange.un_watch_ohlcv(symbol_of(series), name))

    async def _close_sockets(self, connection: _Connection) -> None:
        exchange = connection.exchange
        exchange.ohlcvs.clear()
        await close_sockets(detach(exchange, list(exchange.clients.values())))

    async def _drop(self, connection: _Connection) -> None:
        """Close a connection without series."""
        self._connections.pop(connection.socket.number, None)
        self._plan.drop_empty(connection.socket.number)
        await self._close_sockets(connection)
        if connection.exchange is not self._exchange:
            await connection.exchange.close()


def _is_refusal(error: FeedError) -> bool:
    return isinstance(error, FeedRefused) or isinstance(error.__cause__, ccxt.ExchangeError)


def _is_break(error: FeedError) -> bool:
    """Whether a socket that was open has ended: not a failure to open one, and no silence."""
    cause = error.__cause__
    if cause is None:
        return True
    # ccxt wraps what prevented it from opening a socket.
    is_dial = bool(cause.args) and isinstance(cause.args[0], Exception)
    return (
        isinstance(cause, ccxt.NetworkError)
        and not isinstance(cause, ccxt.RequestTimeout)
        and not is_dial
    )
