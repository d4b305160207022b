"""The habits of an exchange's endpoint of candles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Wrong(StrEnum):
    """What may come instead of a proper answer, with status 200 unless it is named here."""

    EMPTY = "an empty list"
    NULL = "null instead of the rows"
    MAINTENANCE = "a maintenance page"
    NULL_PRICES = "rows without prices"
    SECONDS = "times in a unit a thousand times longer"
    MICROSECONDS = "times in a unit a thousand times shorter"


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """What one endpoint does; figures are candles, 0 for without."""

    # Most rows of an answer: of a longer window the oldest are given, or the newest.
    cap: int = 0
    keeps_newest: bool = False
    newest_first: bool = False
    includes_start: bool = True
    includes_end: bool = True
    # A window with a count of its own: it ends there, whatever comes later.
    counts_time: bool = False
    # Only this many of the newest are known, whatever is asked for.
    newest_only: int = 0
    # Older windows are refused, or older rows are left out of the answer.
    oldest_points: int = 0
    leaves_old_out: bool = False
    # Windows of more than `cap` are refused.
    refuses_long: bool = False
    # Fewer rows than there are, in every answer: this many.
    short: int = 0
    # Answers that are wrong, by the number of the request of candles.
    wrong: Mapping[int, Wrong] = field(default_factory=dict)
    # Rows that are wrong: of these open times.
    spoiled: frozenset[int] = frozenset()
