"""How derived series stand to their base: what health says of them, and the status page.

A derived series can stop although its base is followed: no process derives it any more and the
store refuses all other candles, deriving fails, or its base lacks candles. This names which it is.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from market.domain.derived import BEGINNING, Incomplete, Progress
from market.domain.freshness import late_by
from market.domain.series import SeriesId
from market.domain.store import SeriesState
from market.ingest.derive import derivation
from market.runtime import candle_store, derived_book, derived_timeframes

StandingState = Literal[
    "made", "filling", "incomplete", "base_late", "behind", "not_made", "not_derived"
]

BEHIND_AFTER_S = 20.0
"""A bucket may be over for so long before it is made: the round that makes up for what failed runs
every 15 seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a derived series stands to its base.

    `made_to` is the base's newest candle that is in it, `base` and `base_head` are None where these
    settings do not derive it; `incomplete` is its newest bucket that is over, if that lacks candles
    of the base.
    """

    state: StandingState
    base: SeriesId | None = None
    base_head: int | None = None
    made_to: int | None = None
    incomplete: Incomplete | None = None

    @property
    def is_bad(self) -> bool:
        """Whether candles will not come by themselves."""
        return self.state in ("behind", "not_derived")


def standings(
    series: Collection[SeriesId], *, now: float | None = None
) -> dict[SeriesId, Standing]:
    """The standing of those among some series that are derived, or that the store holds as such.

    Blocking; raises what the store raises.
    """
    now = time.time() if now is None else now
    base_of, booked = derived_timeframes().base_of, derived_book().among(series)
    found = {
        each: Standing(state="not_derived", made_to=known.progress.head)
        for each, known in booked.items()
        if known.is_held and base_of(each) is None
    }
    bases = {each: base for each in series if (base := base_of(each)) is not None}
    if bases:
        states = candle_store().states(set(bases.values()))
        newest = derived_book().newest_incomplete(bases, limit=1)
        for each, base in bases.items():
            known = booked.get(each)
            found[each] = (
                Standing(state="not_made", base=base, base_head=states[base].head)
                if known is None
                else _made(each, base, known.progress, states[base], newest.get(each, ()), now)
            )
    return found


def _made(
    series: SeriesId,
    base: SeriesId,
    progress: Progress,
    base_now: SeriesState,
    newest_incomplete: Sequence[Incomplete],
    now: float,
) -> Standing:
    to = series.timeframe
    newest = to.closed_by(to.open_of(base.timeframe.close_of(progress.head)))
    incomplete = next((each for each in newest_incomplete if each.candle_time == newest), None)
    overdue = derivation().overdue_since(series, progress, base_now)
    state: StandingState = "made"
    if overdue is not None and now - overdue > BEHIND_AFTER_S:
        state = "behind"
    elif base_now.head is None or late_by(base_now.head, base.timeframe, now):
        state = "base_late"
    elif incomplete is not None:
        state = "incomplete"
    elif progress.since > BEGINNING:
        state = "filling"
    return Standing(
        state=state,
        base=base,
        base_head=base_now.head,
        made_to=progress.head,
        incomplete=incomplete,
    )
