"""Bringing both ledgers of a series up to a candle, before it is replayed."""

from __future__ import annotations

import time
from typing import NamedTuple

from factors import runtime as factors
from factors.domain.ledger import Rebuild
from market.domain.change import Change
from market.domain.series import SeriesId
from market.runtime import candle_store, pipeline
from overlays import runtime
from overlays.reads import NoData, OutOfSync
from overlays.stage import Redraw

# Longer than this no request computes: what is left is done by the next one.
MAX_S = 20.0


class Prepared(NamedTuple):
    """The candle that both ledgers have reached; `changes` were committed for it."""

    requested_time: int
    aligned_time: int
    factor_head_time: int
    overlay_head_time: int
    changes: tuple[Change, ...]


def prepare(series: SeriesId, to_time: int | None) -> Prepared:
    """Compute what the ledgers lack up to `to_time` (without: the newest candle). Blocking.

    Raises NoData, OutOfSync and market.pipeline.PipelineError.
    """
    store = candle_store()
    head = store.state(series).head
    requested = head if to_time is None else to_time
    aligned = None if requested is None else store.floor(series, requested)
    if requested is None or aligned is None:
        raise NoData
    changes: list[Change] = []
    heads = _heads(series)
    until = time.monotonic() + MAX_S
    while min(heads) < aligned:
        changes.append(pipeline().rerun(series, Rebuild(), Redraw()))
        before, heads = heads, _heads(series)
        if heads == before or time.monotonic() > until:
            # A stage is switched off, or there is too much to do.
            break
    for ledger, reached in zip(("factor", "overlay"), heads, strict=True):
        if reached < aligned:
            raise OutOfSync(ledger)
    return Prepared(requested, aligned, *heads, tuple(changes))


def _heads(series: SeriesId) -> tuple[int, int]:
    factor_head, overlay_head = factors.head_time(series), runtime.head_time(series)
    return -1 if factor_head is None else factor_head, -1 if overlay_head is None else overlay_head
