"""Live candles of Binance-like exchanges: a few sockets, and a final flag on closed candles."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from typing_extensions import override

from market.domain.candle import CandleError
from market.domain.feed import Closed, FeedError, FeedRefused, Forming, Interrupted
from market.domain.series import SeriesId
from market.exchanges.ccxt_client import feed_errors, listing_of, symbol_of
from market.exchanges.ccxt_history import History
from market.exchanges.refused_rows import refused_rows
from market.exchanges.rows import candle_of
from market.exchanges.streams import (
    UNSUBSCRIBE_TIMEOUT_S,
    EventQueue,
    LiveStream,
    StreamLimits,
    close_sockets,
    detach,
    unless_closed,
)
from market.stopping import stop

logger = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Subscription:
    """A followed series, its stream's names, and when it last sent something (monotonic)."""

    series: SeriesId
    pair: tuple[str, str]
    wire: tuple[str, str]
    socket: _Socket
    last_at: float
    quiet: int = 0


@dataclass(slots=True, eq=False)
class _Socket:
    """One connection; when `down` has a reason, it is reopened at `open_at` or later.

    Pinned series have sockets of their own, which no other series' silence or refusal takes down.
    """

    number: str
    is_pinned: bool
    subscriptions: dict[SeriesId, _Subscription] = field(default_factory=dict)
    down: str | None = None
    open_at: float = 0.0
    failures: int = 0
    last_at: float = 0.0
    quiet: int = 0


class BinanceStream(LiveStream):
    """Keeps the wanted series subscribed, and reconnects what breaks or goes silent."""

    def __init__(
        self, exchange: Any, history: History, *, queue: EventQueue, limits: StreamLimits
    ) -> None:
        self._exchange = exchange
        self._history = history
        self._queue = queue
        self._limits = limits
        self._wanted: frozenset[SeriesId] = frozenset()
        self._pinned: frozenset[SeriesId] = frozenset()
        self._refused: frozenset[SeriesId] = frozenset()
        self._sockets: dict[str, _Socket] = {}
        self._by_wire: dict[tuple[str, str], list[_Subscription]] = {}
        self._wake = asyncio.Event()
        self._background: set[asyncio.Task[None]] = set()
        self._failures = 0
        exchange.sink = self

    @override
    def follow(self, series: frozenset[SeriesId], pinned: frozenset[SeriesId]) -> None:
        self._wanted, self._pinned = series, pinned
        self._refused &= series
        self._wake.set()

    @override
    async def run(self) -> None:
        while True:
            self._wake.clear()
            pause = self._limits.check_every
            try:
                await self._reconcile()
                self._failures = 0
            except FeedError as error:
                self._failures += 1
                pause = self._limits.retry_after(self._failures)
                self._queue.put(Interrupted(None, str(error)))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()

    @override
    async def close(self) -> None:
        self._exchange.sink = None
        await stop(list(self._background))
        await close_sockets(detach(self._exchange, list(self._exchange.clients.values())))

    # Called by the sockets (market.exchanges.ccxt_client.KlineSink)

    def kline(self, kline: Mapping[str, Any]) -> None:
        """Queue a candle. Must not raise: ccxt would stop reading the socket."""
        now = time.monotonic()
        for subscription in self._by_wire.get((str(kline.get("s")), str(kline.get("i"))), ()):
            series = subscription.series
            try:
                row = [kline[name] for name in ("t", "o", "h", "l", "c", "v")]
                candle = candle_of(row, series.timeframe)
            except (KeyError, CandleError) as error:
                refused_rows().note(series, 1, f"from the stream: {error}")
                continue
            subscription.last_at, subscription.quiet = now, 0
            socket = subscription.socket
            socket.last_at, socket.quiet, socket.failures = now, 0, 0
            self._queue.put((Closed if kline.get("x") else Forming)(series, candle))

    def lost(self, client: Any, reason: str) -> None:
        """A socket is closed: reopen it with all its series."""
        socket = self._sockets.get(client.url.rpartition("/")[2])
        if socket is not None and not getattr(client, "retired", False):
            self._take_down(socket, reason)

    # Reconciling

    async def _reconcile(self) -> None:
        now = time.monotonic()
        for socket in list(self._sockets.values()):
            await self._leave(
                socket, [series for series in socket.subscriptions if series not in self._wanted]
            )
            if socket.down is None and socket.subscriptions:
                await self._check_silence(socket, now)
        followed = {series for socket in self._sockets.values() for series in socket.subscriptions}
        placed = [
            subscription
            for series in self._in_order(self._wanted - followed - self._refused)
            if (subscription := await self._place(series)) is not None
        ]
        for socket in list(self._sockets.values()):
            # One request for all new ones; the others stay subscribed.
            new = [one for one in placed if one.socket is socket]
            if new and socket.down is None:
                self._subscribe(socket, new)
            self._open(socket, now)

    async def _place(self, series: SeriesId) -> _Subscription | None:
        """Assign a series to a socket with room; None when the exchange has no such series."""
        try:
            name = await self._history.load(series)
        except FeedRefused as error:
            logger.warning("not followed: %s", error)
            self._refused |= {series}
            return None
        wire = (str(listing_of(self._exchange, series)["id"]), self._exchange.timeframes[name])
        room = self._limits.series_a_socket
        is_pinned = series in self._pinned
        found = (
            one
            for one in self._sockets.values()
            if len(one.subscriptions) < room and one.is_pinned == is_pinned
        )
        socket = next(found, None) or self._new_socket(is_pinned)
        pair = (symbol_of(series), name)
        subscription = _Subscription(series, pair, wire, socket, time.monotonic())
        socket.subscriptions[series] = subscription
        self._by_wire.setdefault(wire, []).append(subscription)
        return subscription

    def _in_order(self, series: frozenset[SeriesId]) -> list[SeriesId]:
        """The pinned ones first."""
        return sorted(series, key=lambda each: (each not in self._pinned, each))

    def _new_socket(self, is_pinned: bool) -> _Socket:
        number = next(n for n in map(str, range(len(self._sockets) + 1)) if n not in self._sockets)
        socket = self._sockets[number] = _Socket(number, is_pinned, last_at=time.monotonic())
        return socket

    def _open(self, socket: _Socket, now: float) -> None:
        """Open a socket that is down and due; drop one without subscriptions."""
        if not socket.subscriptions:
            del self._sockets[socket.number]
            self._spawn(close_sockets(detach(self._exchange, self._clients(socket))))
        elif socket.down is not None and now >= socket.open_at:
            socket.down, socket.last_at = None, now
            for subscription in socket.subscriptions.values():
                subscription.last_at = now
            self._subscribe(socket, socket.subscriptions.values())

    def _take_down(self, socket: _Socket, reason: str) -> None:
        """Drop the connection; it is reopened after a growing pause."""
        if socket.down is None:
            socket.down = reason
            socket.failures += 1
            socket.open_at = time.monotonic() + self._limits.retry_after(socket.failures)
            self._history.distrust_clock()
            logger.info("%s socket %s: %s", self._exchange.id, socket.number, reason)
            for series in socket.subscriptions:
                self._queue.put(Interrupted(series, reason))
            # ccxt's cache outlives the socket and would hide the hole.
            self._exchange.ohlcvs.clear()
            self._spawn(close_sockets(detach(self._exchange, self._clients(socket))))
        self._wake.set()

    async def _check_silence(self, socket: _Socket, now: float) -> None:
        fast = any(s.timeframe.seconds <= 5 for s in socket.subscriptions)
        patience = self._limits.fast_patience if fast else self._limits.patience
        if now - socket.last_at > self._grown(patience, socket.quiet):
            socket.quiet += 1
            self._take_down(socket, f"nothing received for {now - socket.last_at:.0f} s")
            return
        quiet = [
            one
            for one in socket.subscriptions.values()
            if one.last_at < socket.last_at and self._is_quiet(one, now)
        ]
        # The other series still receive, so only these are subscribed again.
        for subscription in quiet:
            self._queue.put(Interrupted(subscription.series, "the series went silent"))
            subscription.quiet += 1
            subscription.last_at = now
            await self._unsubscribe(socket, [subscription])
            if socket.down is None:
                self._subscribe(socket, [subscription])

    def _is_quiet(self, subscription: _Subscription, now: float) -> bool:
        patience = self._limits.patience_of(subscription.series.timeframe)
        return now - subscription.last_at > self._grown(patience, subscription.quiet)

    def _grown(self, patience: float, quiet: int) -> float:
        return min(self._limits.longest_patience, patience * 2.0 ** min(quiet, 16))

    async def _leave(self, socket: _Socket, leaving: Iterable[SeriesId]) -> None:
        gone = [socket.subscriptions.pop(series) for series in list(leaving)]
        for subscription in gone:
            self._by_wire[subscription.wire].remove(subscription)
        # Two series may share a stream: 60m and 1h are one to the exchange.
        unused = [one for one in gone if not self._by_wire[one.wire]]
        for subscription in unused:
            del self._by_wire[subscription.wire]
        if unused and socket.subscriptions and socket.down is None:
            await self._unsubscribe(socket, unused)

    def _subscribe(self, socket: _Socket, subscriptions: Iterable[_Subscription]) -> None:
        pairs = [list(one.pair) for one in subscriptions]

        async def subscribe() -> None:
            try:
                with feed_errors("subscribe"):
                    # No await lies between these two and ccxt's choice of the socket.
                    self._exchange.shard = socket.number
                    await unless_closed(self._exchange.watch_ohlcv_for_symbols(pairs))
            except FeedError as error:
                self._take_down(socket, str(error))

        self._spawn(subscribe())

    async def _unsubscribe(self, socket: _Socket, subscriptions: list[_Subscription]) -> None:
        pairs = [list(one.pair) for one in subscriptions]
        try:
            with feed_errors("unsubscribe"):
                async with asyncio.timeout(UNSUBSCRIBE_TIMEOUT_S):
                    self._exchange.shard = socket.number
                    await unless_closed(self._exchange.un_watch_ohlcv_for_symbols(pairs))
        except FeedError as error:
            # Now it is unclear what the exchange sends and what ccxt expects: start over.
            self._take_down(socket, str(error))

    def _clients(self, socket: _Socket) -> list[Any]:
        return [
            client
            for client in list(self._exchange.clients.values())
            if client.url.rpartition("/")[2] == socket.number
        ]

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
