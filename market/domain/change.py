"""What one batch of candles changed in a series: the result of the write path."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from market.domain.candle import Candle
from market.domain.series import SeriesId
from market.domain.store import SeriesState

REVISED = "candle.revised"


@dataclass(frozen=True, slots=True)
class Notice:
    """A system message for the watchers of a series, sent after its candles."""

    event: str
    message: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What one batch changed in a series; all times are open times in Unix seconds.

    `fresh` are the candles beyond the old head, in order, and `predecessor` is that old head.
    `revised_from` is the earliest time at which stored history changed, None if none did.
    `products` is where a stage leaves, under its name, what later stages of the batch need of it.
    """

    series: SeriesId
    predecessor: int | None
    state: SeriesState
    fresh: tuple[Candle, ...] = ()
    past: tuple[Candle, ...] = ()
    revised_from: int | None = None
    notices: list[Notice] = field(default_factory=list)
    products: dict[str, Any] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether the batch only repeated what was stored."""
        return not self.fresh and not self.past
