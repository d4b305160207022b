"""Time zones by their IANA names, with the rules of the `tzdata` package.

Not those of the operating system: all processes of an installation must agree where a day begins,
and the package is pinned.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from importlib import resources
from zoneinfo import ZoneInfo

PACKAGE = "tzdata"

DAY_S, WEEK_S, YEAR_S = 86_400, 604_800, 31_536_000
# Rules that hold from then on are in force before it.
RULES_UNTIL = 2**31

ZERO = timedelta(0)


@dataclass(frozen=True, slots=True)
class Zone:
    """A time zone: its name, as the tz database writes it, and its rules."""

    name: str
    rules: tzinfo = field(compare=False, repr=False)

    def offset_at(self, time: float) -> int:
        """How many seconds its clocks are ahead of UTC at a time (Unix seconds)."""
        return _seconds(datetime.fromtimestamp(time, self.rules).utcoffset())


UTC_ZONE = Zone("Etc/UTC", UTC)


@lru_cache(maxsize=512)
def zone_named(text: str) -> Zone | None:
    """The zone with a name in whatever case; None if there is none.

    An alias gives a zone with the name of the alias. Raises ModuleNotFoundError without `tzdata`.
    """
    name = _spellings().get(text.lower())
    if name is None:
        return None
    if target_of(name) in ("Etc/UTC", "Etc/GMT"):
        return Zone(name, UTC)
    with resources.files(PACKAGE).joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return Zone(name, ZoneInfo.from_file(file, key=name))


def target_of(name: str) -> str:
    """The zone that a name is an alias of, or the name itself: America/New_York for US/Eastern."""
    return _names()[name]


@lru_cache(maxsize=512)
def offsets_of(zone: Zone) -> frozenset[int]:
    """Every offset from UTC, in seconds, that the zone has had since 1970 or will have.

    One that was in force for less than a week may be missing.
    """
    return frozenset(zone.offset_at(time) for time in range(0, RULES_UNTIL, WEEK_S))


@lru_cache(maxsize=512)
def dates_left_out(zone: Zone) -> tuple[int, ...]:
    """The dates that its clocks have never shown since 1970, as days since 1970-01-01, ascending.

    A place that moves across the date line leaves one out: Samoa the 30th of December 2011.
    """
    found: list[int] = []
    for start in range(0, RULES_UNTIL, YEAR_S):
        before, after = start, start + YEAR_S
        turned = zone.offset_at(before) + DAY_S // 2
        if zone.offset_at(after) <= turned:
            continue
        while after - before > 1:
            middle = (before + after) // 2
            if zone.offset_at(middle) > turned:
                after = middle
            else:
                before = middle
        found += range(_day(zone, before) + 1, _day(zone, after))
    return tuple(found)


def _day(zone: Zone, time: int) -> int:
    return (time + zone.offset_at(time)) // DAY_S


@lru_cache(maxsize=1)
def _names() -> dict[str, str]:
    """Every name, with the zone that it is an alias of, or itself."""
    names: dict[str, str] = {}
    text = resources.files(PACKAGE).joinpath("zoneinfo", "tzdata.zi").read_text(encoding="utf-8")
    for line in text.splitlines():
        match line.split():
            case ["Z", name, *_]:
                names[name] = name
            case ["L", target, name]:
                names[name] = target
    # Not of a place, and a plus sign is a space in an address: a shifted grid does the same.
    for name, target in list(names.items()):
        if target == "Factory" or (target.startswith("Etc/GMT") and target != "Etc/GMT"):
            del names[name]
    return names


@lru_cache(maxsize=1)
def _spellings() -> dict[str, str]:
    return {name.lower(): name for name in _names()}


def _seconds(offset: timedelta | None) -> int:
    return int((offset or ZERO).total_seconds())
