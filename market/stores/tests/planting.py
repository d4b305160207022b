"""Rows that no path of ours writes: past the checks at the edge, by SQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

from market.domain.candle import Candle
from market.domain.series import SeriesId
from market.stores.candle_checks import add_constraint, constraint_state, drop_constraint


@contextmanager
def unprotected() -> Iterator[None]:
    """The table without its constraint, as before the migration; ends without candles."""
    drop_constraint(connection)
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM candles")
        if constraint_state(connection) != "valid":
            add_constraint(connection)


def plant(series: SeriesId, *rows: Candle) -> None:
    """Insert or replace rows of a series that has candles, and move its head behind them."""
    with connection.cursor() as cursor:
        for row in rows:
            cursor.execute(
                "INSERT INTO candles (series_id, candle_time, open, high, low, close, volume)"
                " SELECT id, %s, %s, %s, %s, %s, %s FROM series WHERE name = %s"
                " ON CONFLICT (series_id, candle_time) DO UPDATE SET open = excluded.open,"
                " high = excluded.high, low = excluded.low, close = excluded.close,"
                " volume = excluded.volume",
                [*row, str(series)],
            )
        cursor.execute(
            "UPDATE series SET head_time = (SELECT max(candle_time) FROM candles"
            " WHERE series_id = id) WHERE name = %s",
            [str(series)],
        )
