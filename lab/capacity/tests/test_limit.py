from __future__ import annotations

import pytest

from lab.capacity.gate import Check
from lab.capacity.limit import Step, find_limit, limit_rows, limit_verdict
from lab.capacity.tests.test_gate import GOOD, PAGES


def attempt_with(limit):
    def attempt(watchers):
        return Step(watchers, GOOD, [Check("duplicates", "0", "at most 0", watchers <= limit)])

    return attempt


@pytest.mark.parametrize(
    ("limit", "holds", "breaks", "tried"),
    [
        (3500, 3500, 4000, [1000, 2000, 4000, 3000, 3500]),
        (2100, 2000, 2500, [1000, 2000, 4000, 3000, 2500]),
        (500, 0, 1000, [1000]),
        (99_999, 8000, None, [1000, 2000, 4000, 8000]),
    ],
)
def test_limit_is_narrowed_down(limit, holds, breaks, tried):
    found = find_limit(attempt_with(limit), start=1000, most=10_000)
    assert (found.holds, found.breaks) == (holds, breaks)
    assert [step.watchers for step in found.steps] == tried


def test_verdict_names_what_broke():
    found = find_limit(attempt_with(1500), start=1000, most=10_000)
    assert limit_verdict(found) == "1500 watchers hold every threshold; 1750 break: duplicates."
    assert [row[0] for row in limit_rows(found)][1:] == ["1000", "1500", "1750", "2000"]


def test_failure_to_measure_counts_as_the_limit():
    attempt = attempt_with(99_999)

    def until_it_gives_up(watchers):
        if watchers > 2000:
            return Step(watchers, None, failure="a process of watchers does not answer")
        return attempt(watchers)

    found = find_limit(until_it_gives_up, start=1000, most=10_000)
    assert limit_verdict(found) == (
        "2000 watchers hold every threshold; 2500 break: a process of watchers does not answer."
    )
    assert limit_rows(found)[-1] == ("4000", "", "", "", "", found.steps[-1].failure)


def test_verdict_names_a_limit_that_was_not_reached():
    found = find_limit(attempt_with(99_999), start=1000, most=1000)
    assert limit_verdict(found).endswith("more were not tried.")


def test_limit_of_pages_names_them_and_shows_their_drawings():
    found = find_limit(lambda count: Step(count, PAGES), start=1000, most=1000, kind="pages")
    assert limit_verdict(found) == "1000 pages hold every threshold; more were not tried."
    head, row = limit_rows(found)
    assert dict(zip(head, row, strict=True))["drawings p95"] == "20.0 ms"
    assert head[0] == "pages"
