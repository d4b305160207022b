"""How long an exchange asks us to pause: by the status, the headers and the body of its answer."""

from __future__ import annotations

import contextlib
import math
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

# Statuses that refuse for too many requests whatever the body says, with the pause in seconds when
# the exchange names none. 418 is Binance's ban after 429 was ignored.
REFUSALS_S = {429: 10.0, 418: 120.0}
PAUSE_S = REFUSALS_S[429]

# Longer pauses are cut: a broken header must not stop an exchange for good. Bans last longer.
SHORTEST_S = 1.0
LONGEST_S = 3_600.0
LONGEST_BAN_S = 3 * 86_400.0

# A number this near to the present is a time, any other one a length.
_NEAR_S = 366 * 86_400.0
_BODY_READ = 4_096


class Field(NamedTuple):
    """A header with the wait: how many of its units are a second when it is a length of time.

    `is_length` when it never is a point in time; otherwise its size decides.
    """

    a_second: float = 1.0
    is_length: bool = False


RETRY_AFTER = "retry-after"
# The exchanges that give Retry-After in milliseconds.
_MILLISECONDS = frozenset({"dydx"})

RESET_FIELDS: Mapping[str, Field] = {
    "x-retry-after": Field(1e9, is_length=True),  # Aevo
    "x-ratelimit-retry-after": Field(),
    "x-ratelimit-reset": Field(),  # BitMEX, Alpaca, Paradex, Coinbase
    "x-ratelimit-reset-after": Field(is_length=True),
    "x-ratelimit-requests-expire": Field(),  # BingX
    "x-rate-limit-reset": Field(1e3),  # Delta
    "ratelimit-reset": Field(),  # HTX, dYdX, and the IETF's draft
    "gw-ratelimit-reset": Field(1e3, is_length=True),  # KuCoin
    "x-bapi-limit-reset-timestamp": Field(),  # Bybit
    "x-gate-ratelimit-reset-timestamp": Field(),  # Gate
    "x-bm-ratelimit-reset": Field(),  # BitMart
    "bitvavo-ratelimit-resetat": Field(),
}
# Phemex adds the name of the group of endpoints.
_GROUPED = "x-ratelimit-retry-after-"

# "IP banned until 1573122001494", "the ban expires at 1555503610000".
_BAN_ENDS = re.compile(r"\b(?:until|expires at)\D{0,3}(\d{10,16})\b", re.IGNORECASE)
_BODY_WAIT = re.compile(r'"(?:retry_?after|wait)"\s*:\s*"?(\d+(?:\.\d+)?)', re.IGNORECASE)


def pause_of(exchange: str, status: int, headers: Any, body: Any) -> float | None:
    """The pause after an answer, in seconds; None for one that refuses nothing.

    429 and 418 always pause, any other error only with a Retry-After header.
    """
    asked = asked_pause(exchange, status, headers, body)
    if status in REFUSALS_S:
        return asked or REFUSALS_S[status]
    names = {str(name).lower() for name in dict(headers or {})}
    return asked if status >= 400 and RETRY_AFTER in names else None


def asked_pause(exchange: str, status: int, headers: Any, body: Any) -> float | None:
    """The pause that the headers or the body of a refusal name, in seconds, within our limits."""
    named = {str(name).lower(): str(value) for name, value in dict(headers or {}).items()}
    # Times are compared with the exchange's own clock when it is sent.
    now = _date(named.get("date", "")) or time.time()
    a_second = 1e3 if exchange in _MILLISECONDS else 1.0
    asked = _wait(named.get(RETRY_AFTER, ""), Field(a_second), now)
    if asked <= 0:
        asked = max((_wait(named[name], field, now) for name, field in _fields(named)), default=0.0)
    if asked <= 0:
        asked = _body_wait(str(body or "")[:_BODY_READ], now)
    if asked <= 0:
        return None
    return max(SHORTEST_S, min(asked, LONGEST_BAN_S if status == 418 else LONGEST_S))


def _fields(named: Mapping[str, str]) -> list[tuple[str, Field]]:
    found = [(name, RESET_FIELDS[name]) for name in named if name in RESET_FIELDS]
    return found + [(name, Field()) for name in named if name.startswith(_GROUPED)]


def _wait(text: str, field: Field, now: float) -> float:
    """The seconds of a header from `now` on; 0 or less when it names no wait."""
    try:
        number = float(text.split(",")[0])
    except ValueError:
        date = _date(text)
        return date - now if date else 0.0
    if not math.isfinite(number):
        return 0.0
    ends_in = None if field.is_length else _until(number, now)
    return number / field.a_second if ends_in is None else ends_in


def _until(number: float, now: float) -> float | None:
    """Seconds to a time in s, ms, µs or ns since the epoch; None for what is not near `now`."""
    ends = (number / unit - now for unit in (1.0, 1e3, 1e6, 1e9))
    return next((each for each in ends if abs(each) < _NEAR_S), None)


def _body_wait(body: str, now: float) -> float:
    if (ban := _BAN_ENDS.search(body)) is not None:
        return _until(float(ban[1]), now) or 0.0
    if (found := _BODY_WAIT.search(body)) is None:
        return 0.0
    wait = float(found[1])
    ends_in = _until(wait, now)
    if ends_in is not None:
        return ends_in
    # No exchange names its unit here: seconds, ms or ns, by size.
    while wait > LONGEST_S:
        wait /= 1e3
    return wait


def _date(text: str) -> float | None:
    """Unix seconds of an HTTP date or an ISO one."""
    for parse in (parsedate_to_datetime, datetime.fromisoformat):
        with contextlib.suppress(ValueError, TypeError):
            date = parse(text.strip())
            return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    return None
