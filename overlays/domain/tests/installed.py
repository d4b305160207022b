"""The renderers with which tests run: those of the factors in factors.domain.tests.installed."""

from __future__ import annotations

from factors.domain.tests.installed import FOREIGN, INSTALLED
from overlays.domain.all_renderers import overlay_engine as engine_of
from overlays.domain.registered import registered_renderers
from overlays.domain.renderer import WINDOW_CANDLES

RENDERERS = registered_renderers(INSTALLED, foreign=FOREIGN)


def overlay_engine(window_candles=WINDOW_CANDLES):
    return engine_of(window_candles, RENDERERS)
