"""Redraws a series from its factor ledger, part by part."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from factors import runtime as factors
from factors.domain.ledger import Rebuild
from market.domain.change import Change
from market.domain.series import SeriesId
from market.runtime import candle_store, pipeline
from overlays import runtime
from overlays.reads import NoData, OutOfSync
from overlays.stage import Redraw

BEGINNING = 0


class Target(NamedTuple):
    """The time that a repair was asked for, and the candle that must be drawn after it."""

    requested_time: int
    aligned_time: int


def target_of(series: SeriesId, to_time: int | None) -> Target:
    """What a repair up to `to_time` (without: the newest candle) must reach; raises NoData."""
    head = candle_store().state(series).head
    if head is None:
        raise NoData
    requested = head if to_time is None else to_time
    aligned = candle_store().floor(series, requested)
    if aligned is None:
        raise NoData
    return Target(requested, aligned)


def parts_of(series: SeriesId) -> Iterator[Change]:
    """Delete the drawings and make them again: each part is a transaction of its own.

    Raises PipelineError when a part fails; nothing of that part is stored then.
    """
    yield pipeline().rerun(series, Rebuild(), Redraw(BEGINNING))
    heads = _heads(series)
    while min(heads) < (candle_store().state(series).head or 0):
        before = heads
        yield pipeline().rerun(series, Rebuild(), Redraw())
        heads = _heads(series)
        if heads == before:
            # A stage is switched off: no further part would change anything.
            return


def report(series: SeriesId, target: Target) -> dict[str, object]:
    """The answer to a repair; raises OutOfSync when a ledger has not reached its target."""
    factor_head, overlay_head = _heads(series)
    if factor_head < target.aligned_time:
        raise OutOfSync("factor")
    if overlay_head < target.aligned_time:
        raise OutOfSync("overlay")
    return {
        "ok": True,
        "series_id": str(series),
        "requested_time": target.requested_time,
        "aligned_time": target.aligned_time,
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


def _heads(series: SeriesId) -> tuple[int, int]:
    factor_head, overlay_head = factors.head_time(series), runtime.head_time(series)
    return -1 if factor_head is None else factor_head, -1 if overlay_head is None else overlay_head
