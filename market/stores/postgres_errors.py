"""Maps PostgreSQL errors to store refusals: retry now, wait, or repair the server."""

from __future__ import annotations

from django.db import DEFAULT_DB_ALIAS, Error, InterfaceError, OperationalError, connections

from market.domain.explained import translatable
from market.domain.store import StoreUnavailable
from market.stores.postgres_guard import REFUSAL

UNAVAILABLE = "store_unavailable"
DISK_FULL = "53100"
READ_ONLY = "25006"
IDLE_TOO_LONG = "25P03"
LOCK_TIMEOUT = "55P03"
WORDS = {
    UNAVAILABLE: translatable("the store does not answer"),
    "store_full": translatable("the store has no room left"),
    "store_read_only": translatable("the store takes no writes now"),
    REFUSAL: translatable("the store would lose what is written"),
}
CODES = {DISK_FULL: "store_full", READ_ONLY: "store_read_only", IDLE_TOO_LONG: UNAVAILABLE}

# Serialization failure, deadlock, a server that stops or starts: a retry may well succeed.
PASSING = ("40001", "40P01", "57P01", "57P02", "57P03")
CONNECTION = "08"


def refusal_of(error: Error) -> StoreUnavailable | None:
    """The refusal for an error; None when the statement itself is wrong."""
    state = getattr(error.__cause__, "pgcode", None)
    code = CODES.get(state or "")
    if code is None and isinstance(error, OperationalError | InterfaceError):
        code = REFUSAL if REFUSAL in str(error) else UNAVAILABLE
    if code is None:
        return None
    if state == READ_ONLY:
        # After a failover the next connection may reach the new primary.
        connections[DEFAULT_DB_ALIAS].close()
    return StoreUnavailable(code, WORDS[code], is_passing=code == UNAVAILABLE and _passes(state))


def _passes(state: str | None) -> bool:
    """Whether a retry may succeed at once; without a state the connection failed."""
    return state is None or state in PASSING or state.startswith(CONNECTION)


def is_lock_timeout(error: Error) -> bool:
    """Whether a statement waited too long for a lock: what it is about is busy, not the server."""
    return getattr(error.__cause__, "pgcode", None) == LOCK_TIMEOUT
