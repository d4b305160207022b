"""Binance's request weights and what happens to those who use more than their share."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from market.local_exchange.candles import FUTURES, SPOT

_WINDOW_S = 60.0
# How often an address may ask on after a 429 before it is banned, and for how long (seconds).
_PATIENCE = 10
_BAN_S = 120.0
_ADDRESSES_KEPT = 4_096

DEFAULT_LIMITS = {SPOT: 6_000, FUTURES: 2_400}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is turned away: 429 or 418, and when to come back (seconds)."""

    status: int
    retry_after_s: int


@dataclass(slots=True)
class _Account:
    window: int
    used: int = 0
    refused: int = 0
    banned_until: float = 0.0


class WeightLedger:
    """Counts the weight each address uses a minute in one market."""

    def __init__(self, limit: int, clock: Callable[[], float] = time.time) -> None:
        self.limit = limit
        self._clock = clock
        self._accounts: OrderedDict[str, _Account] = OrderedDict()

    def used(self, address: str) -> int:
        """The weight an address has used in this minute."""
        return self._account(address).used

    def charge(self, address: str, weight: int) -> Refusal | None:
        """Count a request of an address; a refusal when it is one too many."""
        account = self._account(address)
        now = self._clock()
        if account.banned_until > now:
            return Refusal(418, int(account.banned_until - now) + 1)
        if account.used + weight <= self.limit:
            account.used += weight
            return None
        account.refused += 1
        if account.refused > _PATIENCE:
            account.banned_until = now + _BAN_S
            return Refusal(418, int(_BAN_S))
        return Refusal(429, int(_WINDOW_S - now % _WINDOW_S) + 1)

    def _account(self, address: str) -> _Account:
        window = int(self._clock() // _WINDOW_S)
        account = self._accounts.setdefault(address, _Account(window))
        self._accounts.move_to_end(address)
        if len(self._accounts) > _ADDRESSES_KEPT:
            self._accounts.popitem(last=False)
        if account.window != window:
            account.window, account.used, account.refused = window, 0, 0
        return account


def klines_weight(market: str, limit: int) -> int:
    """What a page of klines costs."""
    if market == SPOT:
        return 2
    return next((cost for most, cost in ((99, 1), (499, 2), (1_000, 5)) if limit <= most), 10)


def tickers_weight(market: str, symbols: int | None) -> int:
    """What tickers of so many symbols cost; None stands for all of them."""
    if market == FUTURES:
        return 40 if symbols is None else 1
    if symbols is None or symbols > 100:
        return 80
    return 2 if symbols <= 20 else 40


def exchange_info_weight(market: str) -> int:
    """What the list of what is traded costs."""
    return 20 if market == SPOT else 1
