"""What rules find: facts, derived facts, prices; and the ids of alerts."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from factors.alerts.occurrences import Fact, alert_id, alerts_of, crossings, facts_of
from factors.alerts.rules import BROKEN, FORMED, KINDS, PRICE, Direction, Rule, RuleBook
from factors.domain.tests.recordings import MINUTE, engine, flat
from factors.domain.values import Event, Head, StepResult
from market.domain.candle import Candle
from market.domain.series import SeriesId

SERIES = SeriesId.parse("binance:futures:BTC/USDT:1m")
RULE = Rule(1, "a1b2", "test", "*", active_from=0.0, kinds=frozenset(KINDS))
PRICED = replace(RULE, kinds=frozenset(), level=100.0)
FACT = Fact("pen.confirmed", 60, "confirmed:1:2:1", {})


def walk(count, seed):
    """Candles of a random walk that turns often."""
    source, price, candles = random.Random(seed), 100.0, []
    for number in range(1, count + 1):
        close = price + source.choice((-3, -2, -1, 1, 2, 3))
        high, low = max(price, close) + source.random(), min(price, close) - source.random()
        candles.append(Candle(60 * number, price, high, low, close, 1.0))
        price = close
    return candles


def no_levels(time):
    raise AssertionError("the ledger was read")


@pytest.mark.parametrize(
    ("pattern", "is_match"),
    [
        ("binance:futures:BTC/USDT:1m", True),
        ("*", True),
        ("binance:*", True),
        ("*:BTC/USDT:1m", True),
        ("*:1m", True),
        ("binance:futures:BTC/USDT:1h", False),
        ("binance:futures:BTC/USDT:1", False),
        ("futures:BTC/USDT:1m", False),
        ("binance:futures:BTC.USDT:1m", False),
    ],
)
def test_pattern_is_a_series_with_any_text_for_asterisks(pattern, is_match):
    assert replace(RULE, pattern=pattern).matches(SERIES) is is_match


def test_book_finds_rules_of_a_series_until_they_are_replaced():
    book = RuleBook()
    assert not book.is_loaded and book.of(SERIES) == ()
    book.replace([RULE, replace(RULE, pattern="okx:*")])
    assert book.is_loaded and book.of(SERIES) == (RULE,)
    book.replace([])
    assert book.of(SERIES) == ()


def test_id_depends_on_rule_series_and_fact_alone():
    known = alert_id(RULE, SERIES, FACT)
    assert (
        alert_id(replace(RULE, id=9, name="renamed"), SERIES, FACT._replace(data={"a": 1})) == known
    )
    others = {
        alert_id(replace(RULE, uid="other"), SERIES, FACT),
        alert_id(RULE, replace(SERIES, exchange="okx"), FACT),
        alert_id(RULE, SERIES, FACT._replace(key="confirmed:1:3:1")),
        alert_id(RULE, SERIES, FACT._replace(kind="pivot.major")),
    }
    assert known not in others and len(others) == 4


def test_rule_that_fires_once_has_one_id_a_series_until_it_is_armed_again():
    once = replace(RULE, once=True)
    other = FACT._replace(key="confirmed:5:6:1")
    assert alert_id(once, SERIES, FACT) == alert_id(once, SERIES, other)
    assert alert_id(replace(once, active_from=5.0), SERIES, FACT) != alert_id(once, SERIES, FACT)


def test_rule_takes_only_the_kinds_it_names():
    rules = [RULE, replace(RULE, kinds=frozenset({"pivot.major"}))]
    assert [alert.rule for alert in alerts_of(rules, SERIES, [FACT])] == [RULE]


@pytest.mark.parametrize("seed", range(4))
def test_formed_zones_are_those_that_the_factor_formed(seed):
    """Also those that form with one pen of a candle and die with the next."""
    engine_ = engine(2, 1)
    state, expected, found = engine_.initial(MINUTE), 0, []
    for candle in walk(1500, seed):
        step = engine_.step(state, candle)
        expected += len(state.states["zhongshu"].formed)
        found += facts_of([step], frozenset({FORMED}), no_levels)
    assert expected > 10
    assert len(found) == len({fact.key for fact in found}) == expected


def test_zone_that_dies_with_the_candle_it_formed_with_is_found():
    zone = {"start_time": 60, "zg": 12.0, "zd": 11.0, "entry_direction": 1, "end_time": 540}
    zone |= {"formed_time": 600, "formed_reason": "pen_confirmed"}
    death = {**zone, "death_time": 600, "visible_time": 600}
    events = [Event("zhongshu", "zhongshu.dead", 600, "dead:…", death)]
    step = StepResult(600, events, [Head("zhongshu", 600, {"alive": []})])
    (found,) = facts_of([step], frozenset({FORMED}), no_levels)
    assert found.key == "formed:60:600:12.00000000:11.00000000:pen_confirmed"
    assert "death_time" not in found.data and found.data["visible_time"] == 600
    older = [event._replace(payload={**death, "formed_time": 540}) for event in events]
    assert not list(facts_of([step._replace(events=older)], frozenset({FORMED}), no_levels))


def test_level_is_broken_once_and_was_shown_as_holding_before():
    engine_ = engine(3, 1, min_touches=2)
    state, before, expected, found = engine_.initial(MINUTE), [], [], []
    reads = []
    for candle in walk(3000, 5):
        step = engine_.step(state, candle)
        shown = list(before)

        def levels_before(time, shown=shown):
            reads.append(time)
            return shown

        found += facts_of([step], frozenset({BROKEN}), levels_before)
        for event in step.events:
            if event.kind == "sr.snapshot":
                held = {
                    (e["level_type"], e["last_time"]) for e in before if e["status"] != "broken"
                }
                expected += [
                    (event.candle_time, level["price"])
                    for level in event.payload["levels"]
                    if level["status"] == "broken"
                    and (level["level_type"], level["last_time"]) in held
                ]
                before = event.payload["levels"]
    assert len(expected) > 5
    assert [(fact.candle_time, fact.data["price"]) for fact in found] == expected
    assert len(reads) < 600, "only snapshots with a broken level look at the one before"


def test_several_candles_at_once_find_the_same_facts_as_one_after_the_other():
    engine_, wanted = engine(3, 1), frozenset(KINDS)
    state = engine_.initial(MINUTE)
    steps = [engine_.step(state, candle) for candle in walk(1500, 7)]
    before, single = (), []
    for step in steps:
        shown = before
        single += facts_of([step], wanted, lambda time, shown=shown: shown)
        for event in step.events:
            if event.kind == "sr.snapshot":
                before = event.payload["levels"]
    assert list(facts_of(steps, wanted, lambda time: ())) == single
    assert {fact.kind for fact in single} >= set(KINDS) - {BROKEN}


def prices(*closes):
    return flat(*closes)


@pytest.mark.parametrize(
    ("direction", "expected"),
    [
        (Direction.UP, ["crossed:120:up", "crossed:240:up"]),
        (Direction.DOWN, ["crossed:180:down"]),
        (Direction.BOTH, ["crossed:120:up", "crossed:180:down", "crossed:240:up"]),
    ],
)
def test_close_crosses_a_price(direction, expected):
    rule = replace(PRICED, direction=direction)
    found = list(crossings(rule, SERIES, prices(99, 101, 98, 100, 100.5, 103), 97.0))
    assert [alert.fact.key for alert in found] == expected
    assert {alert.fact.kind for alert in found} == {PRICE}


def test_nothing_is_crossed_without_a_close_before():
    assert list(crossings(PRICED, SERIES, prices(101), None)) == []
    assert len(list(crossings(PRICED, SERIES, prices(101, 99), None))) == 1


def test_by_touch_high_and_low_count():
    candles = [
        Candle(60, 95, 100, 94, 96, 1),
        Candle(120, 96, 99.9, 95, 96, 1),
        Candle(180, 101, 105, 101, 104, 1),
        Candle(240, 104, 105, 99, 103, 1),
    ]
    touched = list(crossings(replace(PRICED, touch=True), SERIES, candles, 95.0))
    assert [alert.fact.key for alert in touched] == [
        "crossed:60:up",
        "crossed:180:up",
        "crossed:240:down",
    ]
    assert [a.fact.key for a in crossings(PRICED, SERIES, candles, 95.0)] == ["crossed:180:up"]
