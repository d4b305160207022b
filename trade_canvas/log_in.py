"""The admin's log-in form, with a limit of attempts over all web processes.

Every attempt is counted before its password is checked, so parallel attempts are limited like
sequential ones. There are limits for an account from one address, for an address, and for an
account; the last is generous, or a few requests could lock an administrator out.

The counts are in the shared cache, so market.domain.throttle, which counts in one process, is no
substitute.
"""

from __future__ import annotations

import hashlib
import logging
from typing import Any

from django.conf import settings
from django.contrib.admin.forms import AdminAuthenticationForm
from django.core.cache import caches
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from market.networks import network_of

log = logging.getLogger(__name__)

WINDOW_S = 900
MOST_PAIR = 5
MOST_ADDRESS = 30
MOST_ACCOUNT = 200
TOO_MANY = _("Too many attempts to log in. Try again in a quarter of an hour.")

SHARED, OWN = "default", "own"


class ThrottledLogIn(AdminAuthenticationForm):
    """The admin's form; beyond a limit `too_many_attempts`, whatever the password."""

    def clean(self) -> dict[str, Any]:
        """Count the attempt, then check it; a success resets the count of account and address."""
        account = str(self.cleaned_data.get("username", "")).casefold()
        address = network_of(str(self.request.META.get("REMOTE_ADDR", ""))) if self.request else ""
        pair = _key("pair", account, address)
        if settings.SWITCHES.enable_log_in_throttle:
            _count_attempt(pair, account, address)
        cleaned = super().clean()
        _forget(pair)
        return cleaned


def _count_attempt(pair: str, account: str, address: str) -> None:
    """Count an attempt; raise ValidationError beyond a limit."""
    bounds = (
        (_key("address", address), MOST_ADDRESS),
        (pair, MOST_PAIR),
        (_key("account", account), MOST_ACCOUNT),
    )
    for key, most in bounds:
        if count(key) > most:
            log.warning("log-in refused after %d attempts within %d s", most, WINDOW_S)
            raise ValidationError(TOO_MANY, code="too_many_attempts")


def _key(*parts: str) -> str:
    # Hashed, because a name may have any length and characters.
    return "log_in." + hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()


def count(key: str) -> int:
    """Count in the shared cache, or in this process while the cache is unreachable."""
    try:
        return _add(SHARED, key)
    except Exception:
        log.warning("log-in attempts are counted in this process only", exc_info=True)
        return _add(OWN, key)


def _add(name: str, key: str) -> int:
    cache = caches[name]
    cache.add(key, 0, WINDOW_S)
    try:
        return int(cache.incr(key))
    except ValueError:
        # The key expired in between.
        cache.set(key, 1, WINDOW_S)
        return 1


def _forget(key: str) -> None:
    for name in (SHARED, OWN):
        try:
            caches[name].delete(key)
        except Exception:
            log.info("log-in attempts stay counted: the cache is unreachable")
