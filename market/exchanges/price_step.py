"""The step of a symbol's prices, from what ccxt knows of its precision."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import ccxt

MOST_DECIMALS = 30


class PriceStep(NamedTuple):
    """How an exchange rounds the prices of a symbol.

    `tick` is the step in the quote asset. Some exchanges round to `digits` significant digits
    instead: the step then depends on the price. Both are None where it is not known.
    """

    tick: float | None = None
    digits: int | None = None


UNKNOWN = PriceStep()


def price_step(mode: int, precision: Any) -> PriceStep:
    """The step by `precision["price"]` of a ccxt market and the exchange's `precisionMode`."""
    try:
        value = float(precision)
    except (TypeError, ValueError):
        return UNKNOWN
    if not math.isfinite(value):
        return UNKNOWN
    if mode == ccxt.TICK_SIZE:
        return PriceStep(tick=value) if value > 0 else UNKNOWN
    if value != int(value) or abs(value) > MOST_DECIMALS:
        return UNKNOWN
    if mode == ccxt.SIGNIFICANT_DIGITS:
        return PriceStep(digits=int(value)) if value > 0 else UNKNOWN
    # Decimal places; negative ones are zeros before the point. From text, so that it is exact.
    return PriceStep(tick=float(f"1e{-int(value)}"))
