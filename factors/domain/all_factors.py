"""The factors there are: one written list. A new factor is one line here."""

from __future__ import annotations

from factors.domain import anchor, pen, pivot, sr, zhongshu

FACTORS = (
    pivot.SPEC,
    pen.SPEC,
    zhongshu.SPEC,
    anchor.SPEC,
    sr.SPEC,
)
