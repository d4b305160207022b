"""Drawing a series anew from its factor ledger, a part at a time."""

from __future__ import annotations

from dataclasses import dataclass

from factors import runtime as factors
from factors.domain.ledger import Rebuild
from market.domain.series import SeriesId
from market.pipeline import PipelineError
from market.runtime import candle_store, pipeline
from overlays import runtime
from overlays.stage import Redraw
from overlays.world import NoData, OutOfSync

BEGINNING = 0
NOWHERE = -1


class RepairFailed(Exception):
    """A step of the pipeline failed; what it was doing was taken back."""


@dataclass(frozen=True, slots=True)
class Repair:
    """A repair under way: the time asked for, and the candle that must be drawn in the end."""

    series: SeriesId
    requested_time: int
    aligned_time: int


def begin(series: SeriesId, to_time: int | None) -> Repair:
    """Throw the drawings away and make the first part anew; raises NoData and RepairFailed."""
    head = candle_store().state(series).head
    if head is None:
        raise NoData
    requested = head if to_time is None else to_time
    aligned = candle_store().floor(series, requested)
    if aligned is None:
        raise NoData
    _run(series, Redraw(BEGINNING))
    return Repair(series, requested, aligned)


def go_on(series: SeriesId) -> bool:
    """Make another part, if one is missing; whether it was. Raises RepairFailed."""
    before = _heads(series)
    head = candle_store().state(series).head
    if head is None or min(before) >= head:
        return False
    _run(series, Redraw())
    # Without a stage for it nothing moves, and nothing ever will.
    return _heads(series) != before


def finished(repair: Repair) -> dict[str, object]:
    """The answer to a repair; raises OutOfSync."""
    series, aligned = repair.series, repair.aligned_time
    factor_head, overlay_head = _heads(series)
    if factor_head < aligned:
        raise OutOfSync("factor")
    if overlay_head < aligned:
        raise OutOfSync("overlay")
    return {
        "ok": True,
        "series_id": str(series),
        "requested_time": repair.requested_time,
        "aligned_time": aligned,
        "factor_head_time": factor_head,
        "overlay_head_time": overlay_head,
        "refreshed": True,
        "steps": [
            f"factor.ingest_closed:{series}",
            f"overlay.ingest_closed:{series}",
            "overlay.reset_series",
            "overlay.ingest_closed",
        ],
    }


def _run(series: SeriesId, request: Redraw) -> None:
    try:
        pipeline().rerun(series, Rebuild(), request)
    except PipelineError as error:
        raise RepairFailed(str(error)) from error


def _heads(series: SeriesId) -> tuple[int, int]:
    factor_head, overlay_head = factors.head_time(series), runtime.head_time(series)
    return (
        NOWHERE if factor_head is None else factor_head,
        NOWHERE if overlay_head is None else overlay_head,
    )
