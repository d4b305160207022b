"""What answers a few hot requests of the API in front of Django, by method and path."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable

from django.conf import settings
from typing_extensions import override

from market.api.asgi import Application, Receive, Scope, Send
from market.api.candle_front import CandleFront
from market.api.ingest_front import ClosedCandleFront
from market.api.series_states import StatesReader
from market.api.top_market_stream import TopMarketStreamFront
from market.domain.series import SeriesId
from market.domain.store import SeriesState
from market.runtime import candle_store
from market.stores.postgres_states import PostgresSeriesStates, connection_parameters


class Front:
    """ASGI middleware: the hot requests at once, all others to `application`, which is Django."""

    def __init__(
        self, application: Application, *, reader: StatesReader[SeriesState] | None = None
    ) -> None:
        self._application = application
        self._reader = reader or _reader()
        self._hot: dict[tuple[str, str], Application] = {
            ("GET", "/api/market/candles"): CandleFront(application, reader=self._reader),
            ("POST", "/api/market/ingest/candle_closed"): ClosedCandleFront(application),
            ("GET", "/api/market/top_markets/stream"): TopMarketStreamFront(application),
        }

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer the request, or pass it on."""
        request = (scope.get("method", ""), scope.get("path", ""))
        return self._hot.get(request, self._application)(scope, receive, send)

    def close(self) -> None:
        """Free the connection for heads and epochs; to be called on the event loop."""
        self._reader.close()


def _reader() -> StatesReader[SeriesState]:
    if not settings.SWITCHES.enable_pg_store:
        return _MemoryStates()
    return PostgresSeriesStates(connection_parameters())


class _MemoryStates(StatesReader[SeriesState]):
    """The memory store answers at once."""

    @override
    async def states(self, series: Iterable[SeriesId]) -> dict[SeriesId, SeriesState]:
        return candle_store().states(series)

    @override
    def close(self) -> None:
        pass
