"""All factors. A new factor is one line here."""

from __future__ import annotations

from factors.domain import anchor, pen, pivot, sr, zhongshu

FACTORS = (
    pivot.SPEC,
    pen.SPEC,
    zhongshu.SPEC,
    anchor.SPEC,
    sr.SPEC,
)
