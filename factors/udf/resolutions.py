"""Resolutions: how charts that speak UDF name timeframes.

``5`` is five minutes, ``15S`` fifteen seconds, ``1D`` (or ``D``) a day, ``1W`` a week, ``1M`` a
month. Charts make months of days where there are days.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache

from market.domain.timeframe import MONTH, Timeframe, TimeframeError

SECONDS = (1, 5, 10, 15, 30)
MINUTES = (1, 2, 3, 5, 10, 15, 30, 45, 60, 90, 120, 180, 240, 360, 480, 720)
DAYS = (1, 2, 3)

OFFERED = (
    *(f"{each}S" for each in SECONDS),
    *map(str, MINUTES),
    *(f"{each}D" for each in DAYS),
    "1W",
    "1M",
)
"""What a chart may show, ascending."""

_RESOLUTION = re.compile(r"([0-9]{0,6})([SDWM]?)")
_UNITS = {"S": "s", "": "m", "D": "d", "W": "w", "M": MONTH}


class ResolutionError(ValueError):
    """A text that is no resolution."""


@lru_cache(maxsize=256)
def timeframe_of(resolution: str) -> Timeframe:
    """The timeframe that a resolution names; raises ResolutionError."""
    found = _RESOLUTION.fullmatch(resolution)
    if not found or not resolution:
        raise ResolutionError(resolution)
    count, unit = found.groups()
    try:
        return Timeframe.parse(f"{count or 1}{_UNITS[unit]}").canonical()
    except TimeframeError as error:
        raise ResolutionError(resolution) from error


STORABLE = {each: timeframe_of(each) for each in OFFERED}
"""The timeframe of every resolution that can be stored."""


@dataclass(frozen=True, slots=True)
class Multipliers:
    """The resolutions that are read from here; a chart makes its others of them."""

    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    days: tuple[int, ...]
    weeks: tuple[int, ...]
    months: tuple[int, ...] = ()

    @staticmethod
    def of(timeframes: Collection[Timeframe]) -> Multipliers:
        """Those of some timeframes; what a chart can't name is left out."""
        named = {name for name, each in STORABLE.items() if each in timeframes}
        return Multipliers(
            tuple(each for each in SECONDS if f"{each}S" in named),
            tuple(each for each in MINUTES if str(each) in named),
            tuple(each for each in DAYS if f"{each}D" in named),
            (1,) if "1W" in named else (),
            (1,) if "1M" in named else (),
        )

    def shown(self) -> list[str]:
        """Every resolution that a chart can show: those that are read, and what it makes of them.

        It makes longer ones of the same unit, days of one-minute bars, and weeks and months of
        days.
        """
        days = self.days or ((1,) if 1 in self.minutes else ())
        shown = [f"{each}S" for each in _multiples(SECONDS, self.seconds)]
        shown += [str(each) for each in _multiples(MINUTES, self.minutes)]
        shown += [f"{each}D" for each in _multiples(DAYS, days)]
        shown += ["1W"] * bool(1 in days or self.weeks)
        return shown + ["1M"] * bool(1 in days or self.months)


def _multiples(offered: Iterable[int], read: tuple[int, ...]) -> list[int]:
    return [each for each in offered if any(each % one == 0 for one in read)]
