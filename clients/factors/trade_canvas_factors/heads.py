"""Values of heads at a candle, for `Run.head_column`: what a factor knew when the candle closed."""

from __future__ import annotations

from factors.domain.sr_levels import BROKEN
from factors.domain.values import Payload
from market.domain.candle import Candle


def support_below(head: Payload, candle: Candle) -> float | None:
    """The highest intact level of `sr` at or below the close."""
    return max((price for price in _levels(head) if price <= candle.close), default=None)


def resistance_above(head: Payload, candle: Candle) -> float | None:
    """The lowest intact level of `sr` above the close."""
    return min((price for price in _levels(head) if price > candle.close), default=None)


def zone_top(head: Payload, candle: Candle) -> float | None:
    """The upper edge of the `zhongshu` that is alive."""
    return _alive(head, "zg")


def zone_bottom(head: Payload, candle: Candle) -> float | None:
    """The lower edge of the `zhongshu` that is alive."""
    return _alive(head, "zd")


def pen_direction(head: Payload, candle: Candle) -> int | None:
    """1 or -1: where the `pen` goes that is not confirmed yet."""
    direction: int | None = head.get("extending", {}).get("direction")
    return direction


def _levels(head: Payload) -> list[float]:
    return [level["price"] for level in head["levels"] if level["status"] != BROKEN]


def _alive(head: Payload, edge: str) -> float | None:
    return next((zone[edge] for zone in head["alive"]), None)
