"""All renderers. A new factor's renderer is one line in `RENDERERS`."""

from __future__ import annotations

from collections.abc import Iterable

from overlays.domain import anchor, pen, pivot, sr, zhongshu
from overlays.domain.renderer import WINDOW_CANDLES, OverlayEngine, RendererSpec

RENDERERS = (
    pivot.SPEC,
    pen.SPEC,
    zhongshu.SPEC,
    anchor.SPEC,
    sr.SPEC,
)

DRAWING_ORDER = (
    pivot.MAJOR,
    pivot.MINOR,
    anchor.SWITCH,
    pen.CONFIRMED,
    zhongshu.DEAD,
    zhongshu.ALIVE,
    anchor.CURRENT,
    anchor.HISTORY,
    pen.EXTENDING,
    pen.CANDIDATE,
)
"""The order in which the changes of one candle are numbered; other features come last."""


def overlay_engine(
    window_candles: int = WINDOW_CANDLES, renderers: Iterable[RendererSpec] = RENDERERS
) -> OverlayEngine:
    """The engine of these renderers, drawing as many candles back as given."""
    return OverlayEngine(renderers, DRAWING_ORDER, window_candles=window_candles)
