"""The admin's log-in, with a bound on guesses that holds over all web processes.

Every try is counted before its password is looked at, so tries at once are bounded like tries one
after the other. Counted are an account from one address, an address, and an account: the last
generously, or a stranger could lock an administrator out with few requests.
"""

from __future__ import annotations

import hashlib
import logging
from typing import Any

from django.conf import settings
from django.contrib.admin.forms import AdminAuthenticationForm
from django.core.cache import caches
from django.core.exceptions import ValidationError

from trade_canvas.edge.addresses import network_of

log = logging.getLogger(__name__)

WINDOW_S = 900
MOST_PAIR = 5
MOST_ADDRESS = 30
MOST_ACCOUNT = 200
TOO_MANY = "Too many attempts to log in. Try again in a quarter of an hour."

SHARED, OWN = "default", "own"


class ThrottledLogIn(AdminAuthenticationForm):
    """The admin's form; `too_many_attempts` beyond the bounds, whatever the password."""

    def clean(self) -> dict[str, Any]:
        """Count the try, then check it; a success forgets what was counted against the pair."""
        account = str(self.cleaned_data.get("username", "")).casefold()
        address = network_of(str(self.request.META.get("REMOTE_ADDR", ""))) if self.request else ""
        pair = _key("pair", account, address)
        if settings.SWITCHES.enable_log_in_throttle:
            _count_try(pair, account, address)
        cleaned = super().clean()
        _forget(pair)
        return cleaned


def _count_try(pair: str, account: str, address: str) -> None:
    """Count a try; raise ValidationError beyond a bound."""
    bounds = (
        (_key("address", address), MOST_ADDRESS),
        (pair, MOST_PAIR),
        (_key("account", account), MOST_ACCOUNT),
    )
    for key, most in bounds:
        if _counted(key) > most:
            log.warning("log-in refused after %d tries within %d s", most, WINDOW_S)
            raise ValidationError(TOO_MANY, code="too_many_attempts")


def _key(*parts: str) -> str:
    # What strangers type must not become a key of any length or characters.
    return "log_in." + hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()


def _counted(key: str) -> int:
    """One more, over all processes; over this one while the bus is away."""
    try:
        return _add(SHARED, key)
    except Exception:
        log.warning("log-in tries are counted in this process only", exc_info=True)
        return _add(OWN, key)


def _add(name: str, key: str) -> int:
    cache = caches[name]
    cache.add(key, 0, WINDOW_S)
    try:
        return int(cache.incr(key))
    except ValueError:
        # It ran out in between.
        cache.set(key, 1, WINDOW_S)
        return 1


def _forget(key: str) -> None:
    for name in (SHARED, OWN):
        try:
            caches[name].delete(key)
        except Exception:
            log.info("log-in tries stay counted: the bus is away")
