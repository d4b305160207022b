from __future__ import annotations

import pytest

from lab.comparison import Findings, Named, compare

TRUE = {"close": 1.0}
OTHER = {"close": 2.0}


def findings(*, truth, stored, absences=(), ledger=(), times=range(10)):
    return compare("s", times, truth=truth, absences=absences, stored=stored, ledger=ledger)


def every(*, without=()):
    return {time: TRUE for time in range(10) if time not in without}


def test_comparison_of_equal_candles_is_clean():
    found = findings(truth=every(), stored=every())
    assert found.is_clean and found.compared == 10


def test_comparison_counts_a_candle_that_could_be_read_as_lost():
    found = findings(truth=every(), stored=every(without={4}), ledger=[Named(4, 4, "quiet")])
    assert (found.lost, found.misnamed) == (1, 0) and "named quiet" in found.examples[0]


@pytest.mark.parametrize("truth", [every(), every(without={4})])
def test_comparison_counts_other_and_invented_candles_as_wrong(truth):
    assert findings(truth=truth, stored=every() | {4: OTHER}).wrong == 1


@pytest.mark.parametrize("why", ["unserved", "dropped", "unanswered"])
@pytest.mark.parametrize("times", [range(0, 2), range(3, 6), range(8, 10)])
def test_comparison_wants_the_true_reason_wherever_it_is(why, times):
    missing = {"truth": every(), "stored": every(without=times)}
    absences = [Named(times[0], times[-1], why)]
    assert findings(**missing, absences=absences).misnamed == len(times)
    other = [Named(times[0], times[-1], "open")]
    assert findings(**missing, absences=absences, ledger=other).misnamed == len(times)
    found = findings(**missing, absences=absences, ledger=absences)
    assert found.is_clean and found.named == {why: len(times)}


def test_comparison_wants_quiet_candles_named_between_stored_ones_only():
    quiet = [Named(0, 1, "quiet"), Named(5, 6, "quiet"), Named(9, 9, "quiet")]
    candles = every(without={0, 1, 5, 6, 9})
    assert findings(truth=candles, stored=candles, absences=quiet).misnamed == 2
    named = findings(truth=candles, stored=candles, absences=quiet, ledger=quiet[1:2])
    assert named.is_clean and named.named == {"quiet": 2}


def test_findings_of_several_series_are_added():
    total = Findings()
    for _ in range(2):
        total.add(Findings(compared=3, lost=1, named={"quiet": 2}, examples=["one"]))
    assert (total.compared, total.lost, total.named) == (6, 2, {"quiet": 4})
    assert not total.is_clean and total.examples == ["one", "one"]
