"""The request id and the series that log lines carry besides their text."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from market.domain.series import SeriesId

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
SERIES: ContextVar[SeriesId | None] = ContextVar("series", default=None)


@contextmanager
def about(series: SeriesId) -> Iterator[None]:
    """Let lines logged inside carry this series."""
    token = SERIES.set(series)
    try:
        yield
    finally:
        SERIES.reset(token)


def as_fields() -> dict[str, str]:
    """The current request id and series, as far as there are any."""
    series = SERIES.get()
    fields = {"request_id": REQUEST_ID.get(), "series_id": "" if series is None else str(series)}
    return {name: value for name, value in fields.items() if value}
