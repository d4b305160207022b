"""The clients: `Client` for scripts and notebooks, `AsyncClient` for asyncio, with one core."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from trade_canvas_client.candle_reads import read_newest, read_range
from trade_canvas_client.columns import Candles
from trade_canvas_client.fact_reads import (
    Symbol,
    read_events,
    read_features,
    read_frame,
    read_symbols,
)
from trade_canvas_client.facts import Events, Features
from trade_canvas_client.follow import Follower
from trade_canvas_client.kept import Kept
from trade_canvas_client.place import place_of
from trade_canvas_client.retry import Retry
from trade_canvas_client.times import Moment, first_second, last_second, step_of
from trade_canvas_client.transport import AsyncTransport, Options, SyncTransport, servers_of
from trade_canvas_client.updates import Update
from trade_canvas_client.wire import Reading

if TYPE_CHECKING:
    import pandas

TIMEOUT_S = 30.0


def _candles(
    series_id: str, start: Moment | None, end: Moment | None, newest: int | None, kept: Kept
) -> Reading[Candles]:
    step_of(series_id)
    if newest is not None:
        if start is not None or end is not None or newest < 1:
            raise ValueError("`newest` is a number of at least 1, without start and end")
        return read_newest(series_id, newest, kept=kept)
    first = 0 if start is None else max(0, first_second(start))
    return read_range(series_id, first, None if end is None else last_second(end), kept=kept)


def _events(
    series_id: str, start: Moment | None, end: Moment | None, kinds: Iterable[str]
) -> Reading[Events]:
    return read_events(series_id, *_range(start, end), kinds)


def _range(start: Moment | None, end: Moment | None) -> tuple[int | None, int | None]:
    first = None if start is None else first_second(start)
    return first, None if end is None else last_second(end)


class AsyncClient:
    """Reads and follows series of a trade_canvas server; use it as an async context manager.

    `server` is its address, or several of one installation: when one fails, the next is asked.
    `timeout_s` limits each connection and each answer; `retry` how often a request that may succeed
    later is sent; `verify` and `trust_env` (proxies of the environment) are those of httpx.
    Every method raises TradeCanvasError, and ValueError for its arguments.
    """

    def __init__(
        self,
        server: str | Sequence[str],
        *,
        timeout_s: float = TIMEOUT_S,
        retry: Retry | None = None,
        headers: Mapping[str, str] | None = None,
        verify: ssl.SSLContext | bool = True,
        trust_env: bool = True,
    ) -> None:
        options = Options(
            servers_of(server), timeout_s, retry or Retry(), headers or {}, verify, trust_env
        )
        self._transport = AsyncTransport(options)
        self._kept = Kept()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close its connections. End what follows first."""
        await self._transport.close()

    async def candles(
        self,
        series_id: str,
        start: Moment | None = None,
        end: Moment | None = None,
        *,
        newest: int | None = None,
    ) -> Candles:
        """Read closed candles: from `start` to `end` (open times, both inclusive), or the `newest`.

        Without a start from the first one, without an end to the newest one.
        """
        return await self._transport.run(_candles(series_id, start, end, newest, self._kept))

    async def events(
        self,
        series_id: str,
        start: Moment | None = None,
        end: Moment | None = None,
        *,
        kinds: Iterable[str] = (),
    ) -> Events:
        """Read the factor events at candles from `start` to `end`, both inclusive.

        `kinds` such as `pen.confirmed`; all kinds if none is named.
        """
        return await self._transport.run(_events(series_id, start, end, kinds))

    async def features(
        self,
        series_id: str,
        start: Moment | None = None,
        end: Moment | None = None,
        *,
        columns: Iterable[str] = (),
    ) -> Features:
        """Read the feature columns of the candles from `start` to `end`, both inclusive."""
        return await self._transport.run(read_features(series_id, *_range(start, end), columns))

    async def frame(
        self,
        series_id: str,
        at: Moment,
        *,
        window_candles: int | None = None,
        factor_slices: bool = True,
    ) -> dict[str, Any]:
        """Read drawings and factors as they were at the last candle up to `at` (JSON values)."""
        reading = read_frame(series_id, last_second(at), window_candles, factor_slices)
        return await self._transport.run(reading)

    async def symbols(
        self,
        query: str = "",
        *,
        exchange: str | None = None,
        market: str | None = None,
        limit: int = 100,
    ) -> list[Symbol]:
        """Search the symbols of which series may be followed, best match first."""
        return await self._transport.run(read_symbols(query, exchange, market, limit))

    def follow(
        self,
        series_id: str,
        since: Moment | Candles | pandas.DataFrame | None = None,
        *,
        start: Moment | None = None,
        epoch: int | None = None,
        generation: str | None = None,
        forming: bool = False,
        give_up_s: float | None = None,
    ) -> AsyncGenerator[Update]:
        """Report what happens in a series after `since`, for ever.

        `since`: what was read (`Candles` or its pandas frame), or the open time of the newest
        candle that you have; None: only candles that close from now on. `start`: the oldest time
        that you have, from where revised candles are sent again. `forming`: report open candles.
        `give_up_s`: raise ConnectionFailed after so many seconds without a server. Raises
        SubscriptionRefused and ApiError for what another try does not change.
        """
        place = place_of(since, start, epoch, generation)
        follower = Follower(self._transport, series_id, place, forming=forming, give_up_s=give_up_s)
        return follower.updates()


class Client:
    """The same for scripts and notebooks, without asyncio; a context manager."""

    def __init__(
        self,
        server: str | Sequence[str],
        *,
        timeout_s: float = TIMEOUT_S,
        retry: Retry | None = None,
        headers: Mapping[str, str] | None = None,
        verify: ssl.SSLContext | bool = True,
        trust_env: bool = True,
    ) -> None:
        self._options = Options(
            servers_of(server), timeout_s, retry or Retry(), headers or {}, verify, trust_env
        )
        self._transport = SyncTransport(self._options)
        self._kept = Kept()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._transport.close()

    def candles(
        self,
        series_id: str,
        start: Moment | None = None,
        end: Moment | None = None,
        *,
        newest: int | None = None,
    ) -> Candles:
        """See AsyncClient.candles."""
        return self._transport.run(_candles(series_id, start, end, newest, self._kept))

    def events(
        self,
        series_id: str,
        start: Moment | None = None,
        end: Moment | None = None,
        *,
        kinds: Iterable[str] = (),
    ) -> Events:
        """See AsyncClient.events."""
        return self._transport.run(_events(series_id, start, end, kinds))

    def features(
        self,
        series_id: str,
        start: Moment | None = None,
        end: Moment | None = None,
        *,
        columns: Iterable[str] = (),
    ) -> Features:
        """See AsyncClient.features."""
        return self._transport.run(read_features(series_id, *_range(start, end), columns))

    def frame(
        self,
        series_id: str,
        at: Moment,
        *,
        window_candles: int | None = None,
        factor_slices: bool = True,
    ) -> dict[str, Any]:
        """See AsyncClient.frame."""
        reading = read_frame(series_id, last_second(at), window_candles, factor_slices)
        return self._transport.run(reading)

    def symbols(
        self,
        query: str = "",
        *,
        exchange: str | None = None,
        market: str | None = None,
        limit: int = 100,
    ) -> list[Symbol]:
        """See AsyncClient.symbols."""
        return self._transport.run(read_symbols(query, exchange, market, limit))

    def follow(
        self,
        series_id: str,
        since: Moment | Candles | pandas.DataFrame | None = None,
        *,
        start: Moment | None = None,
        epoch: int | None = None,
        generation: str | None = None,
        forming: bool = False,
        give_up_s: float | None = None,
    ) -> Iterator[Update]:
        """See AsyncClient.follow. Close the iterator to end it.

        The connection is only served while the next update is awaited. When the caller takes more
        than half a minute in between, it may be lost, and following resumes.
        """
        place = place_of(since, start, epoch, generation)
        with asyncio.Runner() as runner:
            transport = AsyncTransport(self._options)
            updates = Follower(
                transport, series_id, place, forming=forming, give_up_s=give_up_s
            ).updates()
            try:
                while True:
                    yield runner.run(_next_of(updates))
            finally:
                runner.run(_closed(updates, transport))


async def _next_of(updates: AsyncGenerator[Update]) -> Update:
    return await anext(updates)


async def _closed(updates: AsyncGenerator[Update], transport: AsyncTransport) -> None:
    await updates.aclose()
    await transport.close()
