"""What admins read about trouble: sentences, never the bare text of an exception."""

from __future__ import annotations

import pytest

from market.domain.feed import NO_STREAM
from market.domain.lease_store import JobReport
from market.ingest.breaker import Breaker, BreakerConfig
from market.ingest.gap_ranges import MAX_ATTEMPTS, Evidence, GapEntry, GapState
from market.ingest.tests.exchange_fake import SERIES
from market.installation.words import (
    NOTHING,
    cause_of,
    gap_evidence,
    gap_progress,
    problem_of,
    state_of,
)
from market.pipeline import SeriesDerived

NOW = 1_600_000_000.0


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (str(SeriesDerived(SERIES)), "made of its base"),
        ("binance 429 Too Many Requests", "limits the rate"),
        ("the exchange asked for a pause", "limits the rate"),
        ("sim has no spot market NOPE/USDT", "does not have this series"),
        ("markets of okx: BadSymbol: okx BTC", "does not have this series"),
        ("candles of x: PermissionDenied: 403 Forbidden", "refuses access"),
        ("binance GET https://x 451 restricted location", "refuses access"),
        ("candles of x: RequestTimeout: x GET https://x", "did not answer in time"),
        ("candles of x: TimeoutError: ", "did not answer in time"),
        ("candles of x: ExchangeNotAvailable: x GET https://x", "connection to the exchange"),
        ("ConnectionResetError: [Errno 104]", "connection to the exchange"),
        ("closed with 1006", "connection to the exchange"),
        ("candles of x: BadResponse: x <html>", "can't be used"),
        ("candles of x: KeyError: 'data'", "can't be used"),
        ("the store does not answer", "database"),
        ("another transaction holds its lock", "database"),
        ("ZeroDivisionError", "unexpected reason"),
    ],
)
def test_cause_is_a_sentence(error, words):
    assert words in cause_of(error)


def report(**changes):
    known = {"state": "waiting", "started_at": NOW - 60, "last_error": "OSError: refused"}
    return JobReport(**{**known, **changes})


def test_nothing_is_wrong_without_an_error():
    assert problem_of(None, NOW) is None
    assert problem_of(report(last_error=None), NOW) is None


def test_problem_names_attempts_and_the_next_one():
    breaker = Breaker(BreakerConfig(), wall=lambda: NOW, jitter=lambda: 1.0)
    for _ in range(3):
        breaker.failed("OSError: refused")
    problem = problem_of(report(guardrail=breaker.as_object()), NOW + 1)
    assert problem.text == (
        "The connection to the exchange failed. 3 attempts in a row have failed. "
        "The next attempt is in 3 s."
    )
    assert problem.detail == "OSError: refused" and problem.is_present
    due = problem_of(report(guardrail=breaker.as_object()), NOW + 60)
    assert due.text.endswith("The next attempt is due.")
    breaker.succeeded()
    alone = problem_of(report(guardrail=breaker.as_object(), crashes=1), NOW)
    assert alone.text == "The connection to the exchange failed. 1 attempt has failed."


def test_problem_that_is_over_is_marked_as_solved():
    problem = problem_of(report(state="running", crashes=3), NOW)
    assert problem.text == "Solved: The connection to the exchange failed."
    assert not problem.is_present


def test_halted_market_is_a_problem_whatever_else_there_is():
    halted = report(state="running", is_halted=True, last_error=None)
    problem = problem_of(halted, NOW, late_s=9_000)
    assert problem.text.startswith("The exchange lists this market as halted or delisted")
    assert problem.is_present
    assert state_of(halted) == "halted or delisted"
    assert state_of(report(state="running")) == "running"


def test_dropped_rows_are_a_problem_for_an_hour():
    dropping = report(
        state="running", refused_rows=1_200, refused_at=NOW, last_error="rows refused: off the grid"
    )
    problem = problem_of(dropping, NOW + 3_599)
    assert problem.is_present and "1200 rows" in problem.text
    assert problem.detail == "rows refused: off the grid"
    later = problem_of(dropping, NOW + 3_600)
    assert not later.is_present
    assert later.text == "Solved: The exchange sent rows that are no candles of this series."


def test_series_that_is_late_without_a_failure_is_a_problem():
    late = report(state="running", last_error=None)
    problem = problem_of(late, NOW, late_s=2 * 86_400)
    assert problem.is_present and "2880 minutes late" in problem.text
    assert problem_of(late, NOW, late_s=0.0) is None


def test_series_that_is_polled_says_so_and_why():
    refused = report(state="running", polled="refused: too many subscriptions")
    assert state_of(refused) == "running, polled"
    problem = problem_of(refused, NOW)
    assert problem.text.startswith("Its candles are polled") and problem.is_present
    assert problem.detail == "refused: too many subscriptions"


def test_exchange_without_streams_is_no_problem():
    polled = report(state="running", polled=NO_STREAM, last_error=None)
    assert state_of(polled) == "running, polled"
    assert problem_of(polled, NOW) is None


def gap(state=GapState.OPEN, **fields):
    return GapEntry(
        series=SERIES, from_time=60, to_time=120, reason="test", state=state, **fields
    ).at(NOW)


@pytest.mark.parametrize(
    ("state", "attempts", "words"),
    [
        ("repaired", 2, "Stored by now."),
        ("quiet", 0, "Final: nothing was traded."),
        ("unserved", 1, "use import_candles or backfill --from-trades."),
        ("repairing", 2, f"Attempt 2 of {MAX_ATTEMPTS} is running."),
        ("open", 0, "Not tried again so far. The next is due at 2020-09-13 12:26:40 UTC."),
        (
            "open",
            1,
            f"1 of {MAX_ATTEMPTS} attempts has failed. The next is due at 2020-09-13 12:27:10 UTC.",
        ),
        ("unanswered", 0, "The next is due at 2020-09-13 13:26:40 UTC."),
        ("unanswered", 2, f"2 of {MAX_ATTEMPTS} attempts have failed."),
        ("dropped", 1, "The next is due at 2020-09-13 14:26:40 UTC."),
        ("open", MAX_ATTEMPTS, f"All {MAX_ATTEMPTS} attempts have failed; “Try again”"),
    ],
)
def test_repair_of_a_gap_is_a_sentence(state, attempts, words):
    assert words in gap_progress(gap(GapState(state), attempts=attempts))


def test_evidence_of_a_gap_is_what_an_answer_showed():
    assert gap_evidence(gap()) == NOTHING
    shown = gap(rows=2, evidence=Evidence(asked=(0, 600), bars=(0, 180)))
    assert gap_evidence(shown) == (
        "Requested 1970-01-01 00:00:00 to 1970-01-01 00:10:00. "
        "The answer has candles at 1970-01-01 00:00:00 and 1970-01-01 00:03:00. "
        "2 rows were refused."
    )
