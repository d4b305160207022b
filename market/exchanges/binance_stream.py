"""Live candles of Binance-like exchanges: a few sockets, and a final flag on closed candles."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from typing_extensions import override

from market.domain.candle import CandleError
from market.domain.feed import (
    Closed,
    FeedError,
    FeedRefused,
    Forming,
    Interrupted,
    Source,
    SourceKind,
)
from market.domain.series import SeriesId
from market.exchanges.binance_sockets import Connection, Subscription
from market.exchanges.ccxt_client import NotSubscribed, feed_errors, listing_of, symbol_of
from market.exchanges.ccxt_history import History
from market.exchanges.doubt import DOUBTS, UNSERVED, Doubt
from market.exchanges.polling import Polls
from market.exchanges.rate_limit import YIELDS
from market.exchanges.refused_rows import refused_rows
from market.exchanges.rows import candle_of
from market.exchanges.socket_plan import MOST_BREAKS, SocketPlan
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
        self._plan = SocketPlan(exchange.venue, room=limits.series_a_socket, sockets=limits.sockets)
        self._connections: dict[str, Connection] = {}
        self._by_wire: dict[tuple[str, str], list[Subscription]] = {}
        self._polls = Polls(history, queue=queue, limits=limits)
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
    def source(self, series: SeriesId) -> Source | None:
        if (reason := self._plan.unserved.get(series)) is not None:
            return Source(SourceKind.POLL, reason)
        return Source(SourceKind.STREAM) if self._plan.socket_of(series) is not None else None

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
        await self._polls.close()
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
            if subscription.doubt is not None:
                subscription.doubt = None
                self._plan.answered(series)
                self._polls.streams_again(series)
            connection = subscription.connection
            connection.last_at, connection.quiet = now, 0
            if now - connection.opened_at > self._limits.settled:
                connection.failures = connection.breaks = 0
            self._queue.put((Closed if kline.get("x") else Forming)(series, candle))

    def refused(self, client: Any, pairs: Collection[tuple[str, str]], reason: str) -> None:
        """The exchange refuses to subscribe these pairs of symbol and timeframe."""
        connection = self._connections.get(client.url.rpartition("/")[2])
        if connection is not None and not getattr(client, "retired", False):
            found = [one for one in connection.subscriptions.values() if one.pair in pairs]
            self._unserved(connection, found, f"refused: {reason}"[:200])

    def lost(self, client: Any, reason: str) -> None:
        """A socket is closed: reopen it with all its series, or with fewer if it keeps breaking."""
        connection = self._connections.get(client.url.rpartition("/")[2])
        if connection is None or connection.down or getattr(client, "retired", False):
            return
        lived_s = time.monotonic() - connection.opened_at
        if client.connectionEstablished and lived_s < self._limits.settled:
            connection.breaks += 1
        self._take_down(connection, reason)
        if connection.breaks >= MOST_BREAKS and len(connection.subscriptions) > 1:
            connection.breaks = 0
            self._unserved(connection, list(connection.subscriptions.values()), reason)

    # Reconciling

    async def _reconcile(self) -> None:
        now = time.monotonic()
        for connection in list(self._connections.values()):
            await self._leave(
                connection, [one for one in connection.subscriptions if one not in self._wanted]
            )
            if connection.down is None and connection.subscriptions:
                await self._check_silence(connection, now)
        self._plan.leave(await self._polls.ended(self._wanted))
        self._ask_doubts(now)
        followed = {one for each in self._connections.values() for one in each.subscriptions}
        placed = [
            subscription
            for series in self._in_order(
                self._wanted - followed - self._refused - self._polls.series
            )
            if (subscription := await self._place(series)) is not None
        ]
        for connection in list(self._connections.values()):
            # One request for all new ones; the others stay subscribed.
            new = [one for one in placed if one.connection is connection]
            new += [one for one in connection.again if one.series in connection.subscriptions]
            connection.again.clear()
            if new and connection.down is None:
                self._subscribe(connection, new)
            self._open(connection, now)

    async def _place(self, series: SeriesId) -> Subscription | None:
        """Assign a series to a socket with room; None when it is polled or does not exist."""
        try:
            name = await self._history.load(series)
        except FeedRefused as error:
            logger.warning("not followed: %s", error)
            self._refused |= {series}
            return None
        is_pinned = series in self._pinned
        socket = None
        if series not in self._plan.unserved:
            socket = self._plan.place(series, is_pinned=is_pinned)
        if socket is None:
            reason = self._plan.unserved[series]
            self._polls.begin(series, reason, yields=not is_pinned)
            return None
        now = time.monotonic()
        connection = self._connections.get(socket.number)
        if connection is None:
            connection = Connection(socket, last_at=now, opened_at=now)
            self._connections[socket.number] = connection
        wire = (str(listing_of(self._exchange, series)["id"]), self._exchange.timeframes[name])
        pair = (symbol_of(series), name)
        doubt = Doubt(series, self._history, self._limits)
        subscription = Subscription(series, pair, wire, connection, now, doubt)
        connection.subscriptions[series] = subscription
        self._by_wire.setdefault(wire, []).append(subscription)
        return subscription

    def _in_order(self, series: frozenset[SeriesId]) -> list[SeriesId]:
        """The pinned ones first."""
        return sorted(series, key=lambda each: (each not in self._pinned, each))

    def _open(self, connection: Connection, now: float) -> None:
        """Open a socket that is down and due; drop one without subscriptions."""
        if not connection.subscriptions:
            del self._connections[connection.number]
            self._plan.drop_empty(connection.number)
            self._spawn(close_sockets(detach(self._exchange, self._clients(connection))))
        elif connection.down is not None and now >= connection.open_at:
            connection.down, connection.last_at, connection.opened_at = None, now, now
            for subscription in connection.subscriptions.values():
                subscription.last_at = now
            self._subscribe(connection, connection.subscriptions.values())

    def _take_down(self, connection: Connection, reason: str) -> None:
        """Drop the connection; it is reopened after a growing pause."""
        if connection.down is None:
            connection.down = reason
            connection.failures += 1
            connection.open_at = time.monotonic() + self._limits.retry_after(connection.failures)
            self._history.distrust_clock()
            logger.info("%s socket %s: %s", self._exchange.id, connection.number, reason)
            for series in connection.subscriptions:
                self._queue.put(Interrupted(series, reason))
            # ccxt's cache outlives the socket and would hide the hole.
            self._exchange.ohlcvs.clear()
            self._spawn(close_sockets(detach(self._exchange, self._clients(connection))))
        self._wake.set()

    async def _check_silence(self, connection: Connection, now: float) -> None:
        fast = any(s.timeframe.seconds <= 5 for s in connection.subscriptions)
        patience = self._limits.fast_patience if fast else self._limits.patience
        if now - connection.last_at > self._grown(patience, connection.quiet):
            connection.quiet += 1
            self._take_down(connection, f"nothing received for {now - connection.last_at:.0f} s")
            return
        quiet = [
            one
            for one in connection.subscriptions.values()
            if one.doubt is None and one.last_at < connection.last_at and self._is_quiet(one, now)
        ]
        # The other series still receive, so only these are subscribed again.
        for subscription in quiet:
            self._queue.put(Interrupted(subscription.series, "the series went silent"))
            subscription.quiet += 1
            subscription.last_at = now
            subscription.doubt = Doubt(subscription.series, self._history, self._limits)
            self._plan.doubted(subscription.series)
            await self._unsubscribe(connection, [subscription])
            if connection.down is None:
                self._subscribe(connection, [subscription])

    def _is_quiet(self, subscription: Subscription, now: float) -> bool:
        patience = self._limits.patience_of(subscription.series.timeframe)
        return now - subscription.last_at > self._grown(patience, subscription.quiet)

    def _grown(self, patience: float, quiet: int) -> float:
        return min(self._limits.longest_patience, patience * 2.0 ** min(quiet, 16))

    # Subscriptions that the exchange does not serve

    def _ask_doubts(self, now: float) -> None:
        """Look at REST for subscriptions that have sent nothing yet, a few at a time."""
        doubted = [
            one
            for connection in self._connections.values()
            if connection.down is None
            for one in self._doubted(connection)
        ]
        free = DOUBTS - sum(one.is_asked for one in doubted)
        due = [
            one
            for one in doubted
            if one.doubt is not None and one.doubt.check_at <= now and not one.is_asked
        ]
        for subscription in due[: max(0, free)]:
            subscription.is_asked = True
            self._spawn(self._ask(subscription))

    def _doubted(self, connection: Connection) -> list[Subscription]:
        """Those without an answer; a few stand for all while nothing was received at all."""
        found = [one for one in connection.subscriptions.values() if one.doubt is not None]
        return found if connection.socket.answered else found[:DOUBTS]

    async def _ask(self, subscription: Subscription) -> None:
        YIELDS.set(subscription.series not in self._pinned)
        connection, doubt = subscription.connection, subscription.doubt
        is_unserved = False
        try:
            if doubt is not None and is_sending(self._clients(connection)):
                doubt.put_off()
            elif doubt is not None:
                is_unserved = await doubt.is_unserved()
        finally:
            subscription.is_asked = False
        # Meanwhile it may have been answered, moved or left.
        current = connection.subscriptions.get(subscription.series)
        if is_unserved and current is subscription and subscription.doubt is doubt:
            alone = connection.socket.answered
            found = [subscription] if alone else list(connection.subscriptions.values())
            self._unserved(connection, found, UNSERVED)

    def _unserved(self, connection: Connection, found: Sequence[Subscription], reason: str) -> None:
        """These are not served on their socket: they go to others, or some stay and go again.

        Not at once: what else is refused meanwhile shows how many the socket carries.
        """
        if not found:
            return
        kept = self._plan.refused([one.series for one in found], reason)
        logger.info(
            "%s socket %s serves %d of %d series: %s",
            self._exchange.id,
            connection.number,
            len(connection.subscriptions) - len(found) + len(kept),
            len(connection.subscriptions),
            reason,
        )
        for client in self._clients(connection):
            for one in found:
                # Otherwise ccxt would not subscribe it on this socket again.
                client.subscriptions.pop(f"ohlcv::{one.pair[0]}::{one.pair[1]}", None)
        for one in found:
            one.doubt = Doubt(one.series, self._history, self._limits)
            if one.series in kept:
                connection.again.append(one)
            else:
                self._forget(connection, one)

    # Subscribing

    async def _leave(self, connection: Connection, leaving: Iterable[SeriesId]) -> None:
        gone = [connection.subscriptions[series] for series in list(leaving)]
        for subscription in gone:
            self._forget(connection, subscription)
            self._plan.leave([subscription.series])
            self._polls.streams_again(subscription.series)
        # Two series may share a stream: 60m and 1h are one to the exchange.
        unused = [one for one in gone if one.wire not in self._by_wire]
        if unused and connection.subscriptions and connection.down is None:
            await self._unsubscribe(connection, unused)

    def _forget(self, connection: Connection, subscription: Subscription) -> None:
        del connection.subscriptions[subscription.series]
        sharing = self._by_wire[subscription.wire]
        sharing.remove(subscription)
        if not sharing:
            del self._by_wire[subscription.wire]

    def _subscribe(self, connection: Connection, subscriptions: Iterable[Subscription]) -> None:
        pairs = [list(one.pair) for one in subscriptions]

        async def subscribe() -> None:
            try:
                with feed_errors("subscribe"):
                    # No await lies between these two and ccxt's choice of the socket.
                    self._exchange.shard = connection.number
                    await unless_closed(self._exchange.watch_ohlcv_for_symbols(pairs))
            except FeedError as error:
                # A refusal was reported by itself (`refused`), and the socket is well.
                if not isinstance(error.__cause__, NotSubscribed):
                    self._take_down(connection, str(error))

        self._spawn(subscribe())

    async def _unsubscribe(self, connection: Connection, subscriptions: list[Subscription]) -> None:
        pairs = [list(one.pair) for one in subscriptions]
        try:
            with feed_errors("unsubscribe"):
                async with asyncio.timeout(UNSUBSCRIBE_TIMEOUT_S):
                    self._exchange.shard = connection.number
                    await unless_closed(self._exchange.un_watch_ohlcv_for_symbols(pairs))
        except FeedError as error:
            # Now it is unclear what the exchange sends and what ccxt expects: start over.
            self._take_down(connection, str(error))

    def _clients(self, connection: Connection) -> list[Any]:
        return [
            client
            for client in list(self._exchange.clients.values())
            if client.url.rpartition("/")[2] == connection.number
        ]

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
