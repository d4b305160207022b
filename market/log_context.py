"""What a line of the log is about, beside its text: the request and the series in hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from market.domain.series import SeriesId

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
SERIES: ContextVar[SeriesId | None] = ContextVar("series", default=None)


@contextmanager
def about(series: SeriesId) -> Iterator[None]:
    """Lines logged within are about this series."""
    token = SERIES.set(series)
    try:
        yield
    finally:
        SERIES.reset(token)


def as_fields() -> dict[str, str]:
    """The request and the series in hand, those that there are."""
    series = SERIES.get()
    fields = {"request_id": REQUEST_ID.get(), "series_id": "" if series is None else str(series)}
    return {name: value for name, value in fields.items() if value}
