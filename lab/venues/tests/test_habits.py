"""Habits × outcomes: what is read equals what was traded, and nothing traded is called quiet."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lab.venues.habits import Habits, Wrong
from lab.venues.reading import reading
from lab.venues.table import VENUES
from lab.venues.truth import Truth
from lab.venues.venue import open_venue
from market.domain.feed import Missing
from market.domain.timeframe import Timeframe
from tests.examples import IS_THOROUGH

MINUTE = Timeframe.parse("1m")
NOW = 1_760_000_000 // 60 * 60 + 30
# The read ends a while ago, so there are candles on both sides.
END = NOW - 30 - 200 * 60
START = END - 699 * 60
SPAN = (START, END)
QUIET = {START + minute * 60 for minute in (5, *range(150, 175), 333, 334, 698)}
TRUTH = Truth(now=NOW, listing=START - 30 * 86_400, quiet=lambda time: time in QUIET)

# Venues whose requests and answers differ in kind.
KINDS = [
    ("binance", "spot"),
    ("bybit", "spot"),
    ("coinbase", "spot"),
    ("deepcoin", "spot"),
    ("okx", "spot"),
    ("upbit", "spot"),
]
PLAIN = Habits()


def _serves_history(venue):
    exchange = open_venue(venue, TRUTH)
    has_minutes = "1m" in (exchange.timeframes or {})
    return has_minutes and venue.id not in {"cex", "luno"} and (venue.start or venue.end)


ALL = [key for key, venue in VENUES.items() if _serves_history(venue)] if IS_THOROUGH else []
CHOSEN = [
    pytest.param(replace(VENUES.get(key) or VENUES[key[0], "spot"], market=key[1]), id=key[0])
    for key in ALL or KINDS
]
# Their requests reach to the present, or have no count: a page of them can't be the newest part.
OPEN_ENDED = {
    "hibachi",
    "hollaex",
    "hyperliquid",
    "indodax",
    "kraken",
    "mexc-futures",
    "polymarket",
    "revolutx",
}
# ccxt's class takes times in seconds and in milliseconds, of other columns.
BOTH_UNITS = {"kucoin", "kucoinfutures"}
every_venue = pytest.mark.parametrize("venue", CHOSEN)


def truth_of(span, truth=TRUTH):
    return {one.candle_time: one for one in truth.candles(*span, MINUTE)}


def grid(span):
    return set(range(span[0], span[1] + 1, 60))


def check(found, truth=TRUTH, span=SPAN):
    """Stored is true, every missing candle is named, and nothing traded is called quiet."""
    traded = truth_of(span, truth)
    assert found.candles == {time: traded[time] for time in found.candles}
    if not found.error:
        assert set(found.candles) | set(found.missing) == grid(span)
    called_quiet = {time for time, why in found.missing.items() if why is Missing.QUIET}
    assert not called_quiet & set(traded)


def check_whole(found):
    """Everything that was traded is stored, and the rest is quiet."""
    check(found)
    assert found.error == ""
    assert found.candles == truth_of(SPAN)
    assert set(found.missing.values()) == {Missing.QUIET}


HARMLESS = {
    "plain": PLAIN,
    "its own": None,
    "the oldest of a page": Habits(cap=100),
    "the newest of a page": Habits(cap=100, keeps_newest=True),
    "newest first": Habits(newest_first=True),
    "start left out": Habits(includes_start=False),
    "end left out": Habits(includes_end=False),
    "both left out": Habits(includes_start=False, includes_end=False),
    "windows by count": Habits(counts_time=True),
    "short pages": Habits(short=37),
    "long windows refused": Habits(cap=100, refuses_long=True),
}


BOUNDED = {"the newest of a page", "long windows refused"}


def _harmless():
    for venue in (chosen.values[0] for chosen in CHOSEN):
        for name, habits in HARMLESS.items():
            own = habits or venue.habits
            is_open = {venue.id, f"{venue.id}-{venue.market}"} & OPEN_ENDED
            if not (name in BOUNDED and is_open) and not (own.newest_only or own.oldest_points):
                yield pytest.param(venue, habits, id=f"{venue.id}-{venue.market}-{name}")


@pytest.mark.parametrize(("venue", "habits"), list(_harmless()))
async def test_habit_loses_nothing(venue, habits):
    check_whole(await reading(venue, TRUTH, SPAN, habits))


def _wrong():
    for venue in (chosen.values[0] for chosen in CHOSEN):
        for wrong in Wrong:
            is_unit = wrong in {Wrong.SECONDS, Wrong.MICROSECONDS}
            if not (is_unit and venue.id in BOTH_UNITS):
                yield pytest.param(venue, wrong, id=f"{venue.id}-{venue.market}-{wrong}")


every_wrong = pytest.mark.parametrize(("venue", "wrong"), list(_wrong()))


@every_wrong
@pytest.mark.parametrize("at", [1, 2, 3])
async def test_one_wrong_answer_loses_nothing(venue, wrong, at):
    check_whole(await reading(venue, TRUTH, SPAN, Habits(cap=200, wrong={at: wrong})))


@every_wrong
async def test_wrong_answers_in_the_middle_are_not_called_quiet(venue, wrong):
    habits = Habits(cap=200, wrong=dict.fromkeys(range(2, 6), wrong))
    found = await reading(venue, TRUTH, SPAN, habits)
    check(found)
    lost = set(truth_of(SPAN)) - set(found.candles)
    assert {found.missing[time] for time in lost} <= {Missing.UNANSWERED}


@every_wrong
async def test_nothing_but_wrong_answers_is_unanswered(venue, wrong):
    found = await reading(venue, TRUTH, SPAN, Habits(wrong=dict.fromkeys(range(1, 99), wrong)))
    check(found)
    assert found.candles == {}
    assert set(found.missing.values()) == {Missing.UNANSWERED}
    # An empty list is an answer; what can't be read is an error when nothing else came.
    if wrong in {Wrong.EMPTY, Wrong.MAINTENANCE, Wrong.NULL_PRICES}:
        assert bool(found.error) == (wrong is not Wrong.EMPTY)


@every_venue
@pytest.mark.parametrize(
    "habits",
    [
        Habits(newest_only=500),
        Habits(cap=300, oldest_points=500),
        Habits(cap=300, oldest_points=500, newest_first=True, includes_end=False),
    ],
    ids=["newest only", "old windows refused", "old windows refused, newest first"],
)
async def test_too_old_is_unserved_and_the_rest_is_read(venue, habits):
    found = await reading(venue, TRUTH, SPAN, habits)
    check(found)
    assert found.error == ""
    served_from = MINUTE.open_of(NOW) - (499 if habits.newest_only else 500) * 60
    # Some of ccxt's classes ask from a candle or two before.
    assert set(found.candles) >= set(truth_of((served_from + 3 * 60, END)))
    old = {why for time, why in found.missing.items() if time < served_from}
    assert old == {Missing.UNSERVED}
    assert found.requests < 40


@every_venue
async def test_old_rows_that_are_left_out_are_unserved(venue):
    habits = Habits(cap=300, oldest_points=500, leaves_old_out=True)
    found = await reading(venue, TRUTH, SPAN, habits)
    check(found)
    served_from = MINUTE.open_of(NOW) - 500 * 60
    assert set(found.candles) >= set(truth_of((served_from + 3 * 60, END)))
    old = {why for time, why in found.missing.items() if time < served_from}
    assert Missing.UNSERVED in old and old <= {Missing.UNSERVED, Missing.UNANSWERED}


@every_venue
async def test_refused_rows_are_dropped_with_a_count(venue):
    bad = frozenset({START, START + 7 * 60, START + 8 * 60, START + 170 * 60, END})
    found = await reading(venue, TRUTH, SPAN, Habits(spoiled=bad))
    check(found)
    # One of them was quiet, so it has no row.
    assert {time for time, why in found.missing.items() if why is Missing.DROPPED} == bad - QUIET
    assert set(found.candles) == set(truth_of(SPAN)) - bad


@every_venue
async def test_before_a_listing_nothing_is_called_quiet_or_too_old(venue):
    listed = START + 250 * 60
    truth = replace(TRUTH, listing=listed)
    found = await reading(venue, truth, SPAN, PLAIN)
    check(found, truth)
    assert found.candles == truth_of(SPAN, truth)
    before = {why for time, why in found.missing.items() if time < listed}
    assert before == {Missing.UNANSWERED}
