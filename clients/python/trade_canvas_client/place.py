"""Where a follower begins, taken from what its caller has."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from trade_canvas_client.columns import Candles
from trade_canvas_client.times import Moment, first_second, last_second

if TYPE_CHECKING:
    import pandas


@dataclass(slots=True)
class Place:
    """Where a follower begins.

    `since`: the newest closed candle that the caller has, None for the newest there is. `start`:
    the oldest time it has. `epoch` and `generation`: of what it has, None if not known.
    """

    since: int | None
    start: int | None = None
    epoch: int | None = None
    generation: str | None = None


def place_of(
    since: Moment | Candles | pandas.DataFrame | None,
    start: Moment | None = None,
    epoch: int | None = None,
    generation: str | None = None,
) -> Place:
    """Return the place; candles that were read know their start, epoch and generation.

    Raises ValueError for a frame that does not come from `Candles.to_pandas`.
    """
    place = _known(since)
    if place.since is None and place.start is not None:
        # Nothing was stored in the range that was read.
        place.since = max(0, place.start - 1)
    place.start = place.start if start is None else first_second(start)
    place.epoch = place.epoch if epoch is None else epoch
    place.generation = place.generation if generation is None else generation
    return place


def _known(since: Moment | Candles | pandas.DataFrame | None) -> Place:
    if since is None:
        return Place(None)
    if isinstance(since, int | float | str | date):
        return Place(last_second(since))
    if isinstance(since, Candles):
        newest = since.columns.times[-1] if len(since) else None
        return Place(newest, since.start, since.epoch, since.generation)
    known = since.attrs
    if not {"start", "epoch", "generation"} <= known.keys() or "candle_time" not in since:
        raise ValueError("the frame has lost its `attrs`: pass the time of its newest candle")
    newest = int(since["candle_time"].iloc[-1]) if len(since) else None
    return Place(newest, known["start"], known["epoch"], known["generation"])
