"""A store that is away, as opposed to something that goes wrong with one series.

A database that restarts, or whose disk is full, is back for all series at once. The circuit breaker
would keep each of them waiting for half a minute after that.
"""

from __future__ import annotations

from django.db import InterfaceError, OperationalError

from market.domain.feed import FeedError
from market.domain.store import StoreUnavailable
from market.ingest.breaker import Breaker, BreakerConfig

AWAY = (StoreUnavailable, OperationalError, InterfaceError, TimeoutError)
FIRST_PAUSE_S = 0.25


def is_store_away(error: BaseException) -> bool:
    """Whether an error, or what it came from, says that the database could not serve anybody."""
    found: BaseException | None = error
    # What an exchange did not do in time is its own affair.
    while found is not None and not isinstance(found, FeedError):
        if isinstance(found, AWAY):
            return True
        found = found.__cause__
    return False


def store_pace(longest_s: float) -> Breaker:
    """Growing pauses up to `longest_s` that never turn into a cool-down."""
    config = BreakerConfig(backoff_initial_s=min(FIRST_PAUSE_S, longest_s), backoff_max_s=longest_s)
    return Breaker(config, enabled=False)
