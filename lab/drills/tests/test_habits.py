from __future__ import annotations

import re
from pathlib import Path

from lab.drills.habits import GRIDS, cases
from market.local_exchange.faults import Kind, parse_request

PAGE = Path(__file__).parents[3] / "docs" / "local-exchange.md"
# Those of a whole market, which the drill begins beside its cases.
OF_MARKETS = {"subscription_limit", "grid", "halt"}


def kinds_in(section):
    text = PAGE.read_text().partition(f"## {section}\n")[2].partition("\n## ")[0]
    return set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))


def test_page_has_every_fault_and_habit():
    assert kinds_in("Faults") | kinds_in("Habits") == {kind.value for kind in Kind}


def test_drill_has_every_habit():
    assert {case.kind for case in cases(1_700_000_000)} | OF_MARKETS == kinds_in("Habits")
    assert GRIDS


def test_habits_of_the_drill_are_complete():
    for case in cases(1_700_000_000):
        if case.kind not in OF_MARKETS:
            assert parse_request({"kind": case.kind, **case.details})


def test_drill_follows_each_series_once():
    names = [case.series for case in cases(1_700_000_000)]
    assert len(names) == len(set(names))
