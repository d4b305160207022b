"""The API's ASGI middlewares in their order, to be put around Django."""

from __future__ import annotations

from collections.abc import Iterable

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections

from market.api.asgi import Application
from market.api.fast_path import CandlePath
from market.api.series_states import StatesReader
from market.api.write_path import ClosedCandlePath
from market.domain.series import SeriesId
from market.domain.store import SeriesState
from market.runtime import candle_store
from market.stores.postgres_states import PostgresStates


def in_front_of(django_application: Application) -> CandlePath:
    """The application that answers HTTP: known reads at once, the rest through Django."""
    paths = ClosedCandlePath(django_application)
    return CandlePath(paths, reader=_reader())


def _reader() -> StatesReader:
    if not settings.SWITCHES.enable_pg_store:
        return _MemoryStates()
    parameters = connections[DEFAULT_DB_ALIAS].get_connection_params()
    parameters.pop("cursor_factory", None)
    return PostgresStates(parameters)


class _MemoryStates:
    """Memory answers at once."""

    async def states(self, series: Iterable[SeriesId]) -> dict[SeriesId, SeriesState]:
        return candle_store().states(series)

    def close(self) -> None:
        """Nothing is held."""
