"""Which candles a request of ccxt really asks for, read from the request itself.

ccxt's classes cap, shift or ignore `since` and `limit` each in their own way, and an answer without
rows does not show it. So the times and counts in the address, the query and the body decide.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from market.domain.timeframe import Timeframe

# Times in a request are s, ms, µs or ns; before 2001 they can't be told from counts.
OLDEST_S = 1_000_000_000
_NEWEST_S = 10_000_000_000
_UNITS = (1, 1_000, 1_000_000, 1_000_000_000)

_COUNTS = ("limit", "size", "count", "pagesize")
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?")
_DAY, _YEAR = re.compile(r"20\d{6}"), re.compile(r"20\d{2}")


@dataclass(slots=True)
class Trace:
    """The last request that a call of ccxt sent, and the status of its answer."""

    url: str = ""
    body: Any = None
    # 0 before there is an answer.
    status: int = 0
    # Whether the answer's body is JSON, or empty.
    is_json: bool = True


TRACE: ContextVar[Trace | None] = ContextVar("trace", default=None)
"""Filled by the exchange object while a task that set it reads candles."""


class Window(NamedTuple):
    """Open times of the first and the last candle that a request asks for.

    `first` is None when the request has no start: then it asks for the newest ones up to `last`,
    which is None when it has no end either.
    """

    first: int | None
    last: int | None


def asked_window(trace: Trace, since: int, limit: int, timeframe: Timeframe) -> Window:
    """The window of a request that was meant to ask for `limit` candles from `since` on.

    Never more than was meant. A given end counts as exclusive: some exchanges leave it out.
    """
    step = timeframe.seconds
    meant = since + (limit - 1) * step
    if since < OLDEST_S:
        return Window(since, meant)
    found = _Found()
    for name, value in _parameters(trace):
        found.take(name, value)
    dated = _dated_path(trace.url)
    if dated is not None:
        # The rest of the day or year in the path.
        return Window(max(since, dated[0]), min(meant, timeframe.open_of(dated[1] - 1)))
    count = min(found.count or limit, limit)
    starts = [time for time in found.times if time < since + step]
    ends = [time for time in found.times if time >= since + step]
    if starts:
        opened = -int(-min(starts) // step) * step
        counted = min(since, opened) + (count - 1) * step
        last = timeframe.open_of(min(ends) - 0.001) if ends else counted
        return Window(since, min(meant, counted, last))
    if not ends:
        return Window(None, None)
    # With two times the earlier one is a start behind `since`: ccxt asks for the newest part only.
    start = min(ends) if len(set(ends)) > 1 else timeframe.open_of(min(ends)) - count * step
    return Window(max(since, int(start)), min(meant, timeframe.open_of(max(ends) - 0.001)))


class _Found:
    """Times and the count among the parameters of a request."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.count = 0
        self._has_since = False

    def take(self, name: str, value: Any) -> None:
        """Add a parameter, if it is a time or a count."""
        plain = name.lower().replace("_", "")
        self._has_since |= plain == "since"
        # ccxt's own `until` that its class left over: the exchange does not know it.
        if plain in {"timestamp", "nonce"} or (plain == "until" and not self._has_since):
            return
        if plain.endswith(_COUNTS):
            if str(value).isdigit():
                self.count = int(value)
        elif (time := _time_of(value)) is not None:
            self.times.append(time)


def _time_of(value: Any) -> float | None:
    text = str(value)
    if _ISO.fullmatch(text):
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    if text.isdigit() and len(text) < 20:
        for unit in _UNITS:
            if OLDEST_S <= int(text) / unit < _NEWEST_S:
                return int(text) / unit
    return None


def _parameters(trace: Trace) -> Iterator[tuple[str, Any]]:
    yield from parse_qsl(urlsplit(trace.url).query)
    body = trace.body
    if isinstance(body, str | bytes):
        try:
            body = json.loads(body)
        except ValueError:
            yield from parse_qsl(body.decode() if isinstance(body, bytes) else body)
            return
    yield from _leaves("", body)


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(str(key), inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _leaves(name, inner)
    else:
        yield name, value


def _dated_path(url: str) -> tuple[int, int] | None:
    """Start and end of the day or year that the last part of the path names."""
    part = unquote(urlsplit(url).path).rstrip("/").rpartition("/")[2]
    if _DAY.fullmatch(part):
        day = datetime.strptime(part, "%Y%m%d").replace(tzinfo=UTC)
        return int(day.timestamp()), int((day + timedelta(days=1)).timestamp())
    if _YEAR.fullmatch(part):
        years = (datetime(int(part) + more, 1, 1, tzinfo=UTC) for more in (0, 1))
        return int(next(years).timestamp()), int(next(years).timestamp())
    return None
