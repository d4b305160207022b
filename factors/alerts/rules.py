"""The rules of alerts as the evaluation has them: which series, and what to look for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from market.domain.series import SeriesId

WILDCARD = "*"
PRICE = "price.crossed"
FORMED = "zhongshu.formed"
BROKEN = "sr.level_broken"
KINDS = (
    "pivot.major",
    "pivot.minor",
    "pen.confirmed",
    FORMED,
    "zhongshu.dead",
    "anchor.switch",
    "sr.snapshot",
    BROKEN,
)
"""The kinds of the factors that are built in. Those of other factors are as their events name them.

FORMED and BROKEN are no events of the ledger: they are derived from its heads and snapshots.
"""

MOST_RULES = 1000
MOST_SERIES = 10_000


class Direction(StrEnum):
    """Which way a price crosses a level."""

    UP = "up"
    DOWN = "down"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class Rule:
    """One enabled rule.

    `uid` is its random name, which ids of alerts are made of. `pattern` is a series id in which
    `*` stands for any text. Candles count that end after `active_from` (Unix seconds). Either
    `kinds` are looked for, or crossings of `level`: by closes, or with `touch` by high and low.
    `cooldown_s` is the least time between two candles with alerts, of each series.
    """

    id: int
    uid: str
    name: str
    pattern: str
    active_from: float
    kinds: frozenset[str] = frozenset()
    level: float | None = None
    direction: Direction = Direction.BOTH
    touch: bool = False
    once: bool = False
    cooldown_s: int = 0

    def matches(self, series: SeriesId) -> bool:
        """Whether the rule is about a series."""
        return matches(self.pattern, str(series))


def matches(pattern: str, text: str) -> bool:
    """Whether a series id is what a pattern describes."""
    return _compiled(pattern).fullmatch(text) is not None


@lru_cache(maxsize=4 * MOST_RULES)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, pattern.split(WILDCARD))))


class RuleBook:
    """The enabled rules of this process; finding those of a series takes no query.

    `replace` may be called from any thread.
    """

    def __init__(self, rules: Iterable[Rule] | None = None) -> None:
        self._rules: tuple[Rule, ...] | None = None if rules is None else tuple(rules)
        self._by_series: dict[SeriesId, tuple[Rule, ...]] = {}

    @property
    def is_loaded(self) -> bool:
        """Whether the rules have been read."""
        return self._rules is not None

    def replace(self, rules: Iterable[Rule]) -> None:
        """Have these rules from now on."""
        found = tuple(rules)
        if found != self._rules:
            # The rules last: what another thread finds until then goes into the old mapping.
            self._by_series = {}
            self._rules = found

    def of(self, series: SeriesId) -> tuple[Rule, ...]:
        """The rules about a series."""
        by_series = self._by_series
        found = by_series.get(series)
        if found is None:
            found = tuple(rule for rule in self._rules or () if rule.matches(series))
            if len(by_series) >= MOST_SERIES:
                by_series.clear()
            by_series[series] = found
        return found
