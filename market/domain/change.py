"""The result of the write path: what one batch of candles changed in a series."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from market.domain.candle import Candle
from market.domain.series import SeriesId
from market.domain.store import SeriesState

REVISED = "candle.revised"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Notice:
    """A system message for the watchers of a series, sent after its candles."""

    event: str
    message: str
    data: dict[str, Any]


class Results:
    """What the stages of one batch pass on: at most one value of each type.

    A rerun of the stages puts its requests here, too.
    """

    def __init__(self, *values: object) -> None:
        self._values: dict[type, object] = {type(value): value for value in values}

    def __bool__(self) -> bool:
        return bool(self._values)

    def put(self, value: object) -> None:
        """Leave a value for later stages and for the caller of the pipeline."""
        self._values[type(value)] = value

    def get(self, kind: type[T]) -> T | None:
        """The value of exactly this type, if there is one."""
        return cast("T | None", self._values.get(kind))


def revision_notice(series: SeriesId, from_time: int, epoch: int) -> Notice:
    """The notice that stored candles from `from_time` on changed, in what is now `epoch`."""
    data = {"series_id": str(series), "from_time": from_time, "epoch": epoch}
    return Notice(REVISED, "stored candles changed, read again", data)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What one batch changed in a series; all times are open times in Unix seconds.

    `fresh` are the candles beyond the old head, in order, and `predecessor` is that old head.
    `past` are those before it; `replaced` of them had other values, the others filled holes.
    `revised_from` is the earliest time at which stored history changed, None if none did.
    `results` holds what a stage leaves for later stages of the batch.
    """

    series: SeriesId
    predecessor: int | None
    state: SeriesState
    fresh: tuple[Candle, ...] = ()
    past: tuple[Candle, ...] = ()
    revised_from: int | None = None
    replaced: int = 0
    notices: list[Notice] = field(default_factory=list)
    results: Results = field(default_factory=Results)

    @property
    def is_empty(self) -> bool:
        """Whether the batch only repeated stored candles."""
        return not self.fresh and not self.past
