from __future__ import annotations

import pytest

from lab.drills.outcome import BEGIN, END, Outcome, write_report


def test_outcome_is_clean_when_every_count_is_zero():
    assert Outcome(name="a fault", watchers=5, delivered=50, notes=("took 3 s",)).is_clean


@pytest.mark.parametrize("count", ["lost", "duplicated", "out_of_order", "wrong"])
def test_outcome_with_a_bad_count_is_not_clean(count):
    assert not Outcome(name="a fault", **{count: 1}).is_clean


def test_outcome_of_a_drill_that_failed_is_not_clean_and_names_the_reason():
    outcome = Outcome.of_failure("a fault", "no watcher came")
    assert not outcome.is_clean
    assert "FAILED: no watcher came" in str(outcome)


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "page.md"
    path.write_text(f"before\n{BEGIN}| x |\n| --- |\n{END}after\n")
    return path


def test_report_keeps_rows_of_drills_that_were_not_run(page):
    write_report(page, [Outcome(name="one", watchers=1000), Outcome(name="two", lost=1)])
    write_report(page, [Outcome(name="two"), Outcome(name="three", most_behind_s=1.25)])
    rows = page.read_text().split(END)[0].splitlines()[4:]
    assert [row.split(" | ")[0] for row in rows] == ["| one", "| two", "| three"]
    assert rows[0] == "| one | 1,000 | 0 | 0 | 0 | 0 | 0 | 0.0 | 0.0 |  |"
    assert rows[1] == "| two | 0 | 0 | 0 | 0 | 0 | 0 | 0.0 | 0.0 |  |"
    assert page.read_text().startswith("before\n")
    assert page.read_text().endswith("after\n")


def test_report_of_a_failure_with_many_lines_is_one_row(page):
    failed = Outcome(name="one", failures=("ledgers differ:\na | b\n\nc",))
    write_report(page, [failed])
    write_report(page, [Outcome(name="two")])
    rows = page.read_text().split(BEGIN)[1].split(END)[0].splitlines()[2:]
    assert [row.split(" | ")[0] for row in rows] == ["| one", "| two"]
    assert rows[0].endswith("| FAILED: ledgers differ: a / b c |")
