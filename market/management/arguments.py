"""Arguments that several commands share: series ids and times."""

from __future__ import annotations

from argparse import ArgumentTypeError
from datetime import UTC, datetime

from django.conf import settings
from django.core.management.base import CommandError

from market.domain.series import SeriesAlias, SeriesId, SeriesIdError
from market.domain.timeframe import MAX_TIME
from market.runtime import candle_store


def series_argument(text: str) -> SeriesId:
    """A series id, for argparse."""
    try:
        return SeriesId.parse(text)
    except SeriesIdError as error:
        raise ArgumentTypeError(str(error)) from error


def written_series_argument(text: str) -> SeriesId:
    """The id of a series that gets candles, for argparse: the canonical one alone."""
    series = series_argument(text)
    try:
        series.require_canonical()
    except SeriesAlias as alias:
        raise ArgumentTypeError(f"{alias.code}: {alias}") from alias
    return series


def time_argument(text: str) -> int:
    """Unix seconds, or a date or time of ISO 8601 (UTC unless it names an offset), for argparse."""
    try:
        time = int(text) if text.lstrip("-").isdigit() else _iso(text)
    except ValueError as error:
        raise ArgumentTypeError(f"neither Unix seconds nor an ISO 8601 time: {text}") from error
    if not 0 <= time <= MAX_TIME:
        raise ArgumentTypeError(f"must lie between 0 and {MAX_TIME}")
    return time


def _iso(text: str) -> int:
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def shown(time: int) -> str:
    """An open time as people read it (UTC)."""
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M:%S")


def require_candles(series: SeriesId) -> None:
    """Raise CommandError unless candles of the series are stored; a typo is not an empty result."""
    require_database()
    if candle_store().state(series).head is None:
        raise CommandError(f"{series}: no candles are stored; manage.py series lists what is")


def require_database() -> None:
    """Raise CommandError unless candles are stored in PostgreSQL."""
    if not settings.SWITCHES.enable_pg_store:
        raise CommandError(
            "this command works on PostgreSQL: set TRADE_CANVAS_ENABLE_PG_STORE=1 "
            "(in memory, only the web process has candles)"
        )
