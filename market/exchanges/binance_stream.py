"""Live candles of Binance and its kin: a few sockets, and a final flag on every closed candle."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from market.domain.candle import CandleError
from market.domain.feed import Closed, FeedError, FeedRefused, Forming, Interrupted
from market.domain.series import SeriesId
from market.exchanges.ccxt_client import feed_errors, listing_of, symbol_of
from market.exchanges.ccxt_history import History, candle_of
from market.exchanges.outlet import Outlet
from market.exchanges.sockets import hang_up, retire, unless_hung_up
from market.exchanges.stream_limits import StreamLimits
from market.stopping import stop

logger = logging.getLogger(__name__)

_UNSUBSCRIBE_S = 5.0


@dataclass(slots=True, eq=False)
class _Subscription:
    """A followed series: its stream on the wire, and when it was heard of last (monotonic)."""

    series: SeriesId
    pair: tuple[str, str]
    wire: tuple[str, str]
    socket: _Socket
    heard_at: float
    quiet: int = 0


@dataclass(slots=True, eq=False)
class _Socket:
    """One connection. `down` is why it has to be opened again, not before `open_at`."""

    number: str
    subscriptions: dict[SeriesId, _Subscription] = field(default_factory=dict)
    down: str | None = None
    open_at: float = 0.0
    failures: int = 0
    heard_at: float = 0.0
    quiet: int = 0


class BinanceStream:
    """Keeps the wanted series subscribed, and reconnects what breaks or falls silent."""

    def __init__(
        self, exchange: Any, history: History, *, outlet: Outlet, limits: StreamLimits
    ) -> None:
        self._exchange = exchange
        self._history = history
        self._outlet = outlet
        self._limits = limits
        self._wanted: frozenset[SeriesId] = frozenset()
        self._refused: frozenset[SeriesId] = frozenset()
        self._sockets: dict[str, _Socket] = {}
        self._by_wire: dict[tuple[str, str], list[_Subscription]] = {}
        self._wake = asyncio.Event()
        self._background: set[asyncio.Task[None]] = set()
        self._failures = 0
        exchange.sink = self

    def follow(self, series: frozenset[SeriesId]) -> None:
        """Change what is wanted."""
        self._wanted = series
        self._refused &= series
        self._wake.set()

    async def run(self) -> None:
        """Keep going until cancelled."""
        while True:
            self._wake.clear()
            pause = self._limits.check_every
            try:
                await self._reconcile()
                self._failures = 0
            except FeedError as error:
                self._failures += 1
                pause = self._limits.retry_after(self._failures)
                self._outlet.put(Interrupted(None, str(error)))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()

    async def close(self) -> None:
        """Hang up everything."""
        self._exchange.sink = None
        await stop(list(self._background))
        await hang_up(retire(self._exchange, list(self._exchange.clients.values())))

    # What the sockets say (market.exchanges.ccxt_client.KlineSink)

    def kline(self, kline: Mapping[str, Any]) -> None:
        """Pass a candle on. Must not raise: ccxt would stop reading the socket."""
        now = time.monotonic()
        for subscription in self._by_wire.get((str(kline.get("s")), str(kline.get("i"))), ()):
            series = subscription.series
            try:
                row = [kline[name] for name in ("t", "o", "h", "l", "c", "v")]
                candle = candle_of(row, series.timeframe)
            except (KeyError, CandleError, TypeError, ValueError) as error:
                logger.warning("%s: the stream sent no candle: %s %r", series, error, kline)
                continue
            subscription.heard_at, subscription.quiet = now, 0
            socket = subscription.socket
            socket.heard_at, socket.quiet, socket.failures = now, 0, 0
            self._outlet.put((Closed if kline.get("x") else Forming)(series, candle))

    def lost(self, client: Any, reason: str) -> None:
        """A socket is gone: all of it must be opened again."""
        socket = self._sockets.get(client.url.rpartition("/")[2])
        if socket is not None and not getattr(client, "retired", False):
            self._take_down(socket, reason)

    # Keeping order

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
            for series in sorted(self._wanted - followed - self._refused)
            if (subscription := await self._place(series)) is not None
        ]
        for socket in list(self._sockets.values()):
            # One request for all that are new; those that were there before stay as they are.
            new = [one for one in placed if one.socket is socket]
            if new and socket.down is None:
                self._subscribe(socket, new)
            self._open(socket, now)

    async def _place(self, series: SeriesId) -> _Subscription | None:
        """Give a series a place on a socket that has room; None when there is no such series."""
        try:
            name = await self._history.load(series)
        except FeedRefused as error:
            logger.warning("not followed: %s", error)
            self._refused |= {series}
            return None
        wire = (str(listing_of(self._exchange, series)["id"]), self._exchange.timeframes[name])
        room = self._limits.series_a_socket
        found = (one for one in self._sockets.values() if len(one.subscriptions) < room)
        socket = next(found, None) or self._new_socket()
        pair = (symbol_of(series), name)
        subscription = _Subscription(series, pair, wire, socket, time.monotonic())
        socket.subscriptions[series] = subscription
        self._by_wire.setdefault(wire, []).append(subscription)
        return subscription

    def _new_socket(self) -> _Socket:
        number = next(n for n in map(str, range(len(self._sockets) + 1)) if n not in self._sockets)
        socket = self._sockets[number] = _Socket(number, heard_at=time.monotonic())
        return socket

    def _open(self, socket: _Socket, now: float) -> None:
        """Open a socket that is down, when its time has come; drop one that nobody needs."""
        if not socket.subscriptions:
            del self._sockets[socket.number]
            self._spawn(hang_up(retire(self._exchange, self._clients(socket))))
        elif socket.down is not None and now >= socket.open_at:
            socket.down, socket.heard_at = None, now
            for subscription in socket.subscriptions.values():
                subscription.heard_at = now
            self._subscribe(socket, socket.subscriptions.values())

    def _take_down(self, socket: _Socket, reason: str) -> None:
        """Drop the connection; it is opened again after a pause that grows."""
        if socket.down is None:
            socket.down = reason
            socket.failures += 1
            socket.open_at = time.monotonic() + self._limits.retry_after(socket.failures)
            self._history.distrust_clock()
            logger.info("%s socket %s: %s", self._exchange.id, socket.number, reason)
            for series in socket.subscriptions:
                self._outlet.put(Interrupted(series, reason))
            # ccxt's cache outlives the socket and would hide the hole.
            self._exchange.ohlcvs.clear()
            self._spawn(hang_up(retire(self._exchange, self._clients(socket))))
        self._wake.set()

    async def _check_silence(self, socket: _Socket, now: float) -> None:
        fast = any(s.timeframe.seconds <= 5 for s in socket.subscriptions)
        patience = self._limits.fast_patience if fast else self._limits.patience
        if now - socket.heard_at > self._grown(patience, socket.quiet):
            socket.quiet += 1
            self._take_down(socket, f"nothing came for {now - socket.heard_at:.0f} s")
            return
        quiet = [
            one
            for one in socket.subscriptions.values()
            if one.heard_at < socket.heard_at and self._is_quiet(one, now)
        ]
        # The others are well, so only these are subscribed anew.
        for subscription in quiet:
            self._outlet.put(Interrupted(subscription.series, "the series fell silent"))
            subscription.quiet += 1
            subscription.heard_at = now
            await self._unsubscribe(socket, [subscription])
            if socket.down is None:
                self._subscribe(socket, [subscription])

    def _is_quiet(self, subscription: _Subscription, now: float) -> bool:
        patience = self._limits.patience_of(subscription.series.timeframe)
        return now - subscription.heard_at > self._grown(patience, subscription.quiet)

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
                    await unless_hung_up(self._exchange.watch_ohlcv_for_symbols(pairs))
            except FeedError as error:
                self._take_down(socket, str(error))

        self._spawn(subscribe())

    async def _unsubscribe(self, socket: _Socket, subscriptions: list[_Subscription]) -> None:
        pairs = [list(one.pair) for one in subscriptions]
        try:
            with feed_errors("unsubscribe"):
                async with asyncio.timeout(_UNSUBSCRIBE_S):
                    self._exchange.shard = socket.number
                    await unless_hung_up(self._exchange.un_watch_ohlcv_for_symbols(pairs))
        except FeedError as error:
            # What the exchange still sends, and what ccxt still believes, can't be told apart.
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
