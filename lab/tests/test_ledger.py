from __future__ import annotations

import pytest

from lab.ledger import Place

EXPECTED = [160, 220, 280, 340]


def place(*times, since=100):
    made = Place(60, since)
    for time in times:
        made.take(time)
    return made


def test_place_with_every_candle_once_has_clean_counts():
    tally = place(*EXPECTED).tally("w", EXPECTED)
    assert (tally.expected, tally.delivered, tally.missing) == (4, 4, 0)
    assert (tally.duplicates, tally.disorder, tally.phantom) == (0, 0, 0)


def test_place_counts_a_missing_candle():
    tally = place(160, 220, 340).tally("w", EXPECTED)
    assert (tally.delivered, tally.missing, tally.examples) == (3, 1, ["w 280"])


def test_place_counts_candles_missing_at_the_end():
    assert place(160, 220).tally("w", EXPECTED).missing == 2


def test_place_distinguishes_a_repeat_from_a_step_back():
    repeat = place(160, 220, 160).tally("w", EXPECTED)
    assert (repeat.duplicates, repeat.disorder) == (1, 0)
    step_back = place(160, 280, 220).tally("w", EXPECTED)
    assert (step_back.duplicates, step_back.disorder) == (0, 1)


def test_place_counts_what_it_had_before_as_a_repeat():
    assert place(100, 160).tally("w", EXPECTED).duplicates == 1


def test_place_expects_nothing_from_before_its_subscription():
    tally = place(280, 340, since=220).tally("w", EXPECTED)
    assert (tally.expected, tally.missing) == (2, 0)


def test_place_without_a_candle_before_expects_all():
    assert place(*EXPECTED, since=None).tally("w", EXPECTED).delivered == 4
    assert place(since=None).tally("w", EXPECTED).missing == 4


def test_place_counts_what_came_by_http_only_apart():
    made = place(160, 340)
    made.recover([160, 220, 280])
    tally = made.tally("w", EXPECTED)
    assert (tally.delivered, tally.recovered, tally.missing) == (2, 2, 0)


@pytest.mark.parametrize(("time", "phantom"), [(280, 1), (400, 0)])
def test_place_counts_candles_that_are_not_stored_up_to_the_newest_stored_one(time, phantom):
    stored = [160, 220, 340]
    assert place(*sorted([*stored, time])).tally("w", stored).phantom == phantom


def test_tally_keeps_a_few_examples_of_all():
    total = place().tally("a", EXPECTED)
    total.add(place(160).tally("b", EXPECTED))
    assert (total.missing, total.delivered) == (7, 1)
    assert total.examples == ["a 160", "a 220", "a 280", "a 340", "b 220"]
