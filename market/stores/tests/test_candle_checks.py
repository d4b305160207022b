"""The database refuses impossible candles, and names those that it has."""

from __future__ import annotations

import math

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from market.domain.candle import Candle, CandleError, check_candle
from market.domain.timeframe import MAX_TIME
from market.runtime import candle_store
from market.stores import candle_checks
from market.stores.candle_checks import (
    NAME,
    POSSIBLE,
    ConstraintState,
    ImpossibleCandles,
    add_constraint,
    constraint_state,
    wrong_rows,
)
from market.stores.tests.planting import plant, unprotected
from market.tests.builders import MINUTE, candle, candles
from tests.examples import examples

pytestmark = pytest.mark.django_db(transaction=True)

NAN, INFINITY = math.nan, math.inf
IMPOSSIBLE = [
    *(candle(60)._replace(**{name: NAN}) for name in ("open", "high", "low", "close", "volume")),
    candle(60)._replace(open=NAN, high=NAN, low=NAN, close=NAN, volume=NAN),
    candle(60)._replace(high=INFINITY),
    candle(60)._replace(low=-INFINITY),
    candle(60)._replace(volume=INFINITY),
    candle(60)._replace(low=1.2),
    candle(60)._replace(high=1.2),
    candle(60)._replace(volume=-1.0),
    candle(-60),
    candle(MAX_TIME + 1),
]


def put(rows):
    with candle_store().writing(MINUTE) as writer:
        writer.upsert(rows)
        writer.advance(rows[-1].candle_time, revised_from=None)


@pytest.mark.parametrize("row", IMPOSSIBLE)
def test_impossible_candle_is_refused_by_the_database(row):
    put(candles(120))
    with pytest.raises(IntegrityError, match=NAME):
        plant(MINUTE, row)
    assert candle_store().count(MINUTE) == 1


times = st.sampled_from([-1, 0, MAX_TIME, MAX_TIME + 1])
numbers = st.floats(width=16) | st.sampled_from([0.0, 1.0, 2.0, NAN, INFINITY, -INFINITY])


@examples(3, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.builds(Candle, times, numbers, numbers, numbers, numbers, numbers))
def test_constraint_and_check_at_the_edge_agree(row):
    try:
        check_candle(row)
        is_possible = True
    except CandleError:
        is_possible = False
    values = "(VALUES (%s::bigint, %s::float8, %s::float8, %s::float8, %s::float8, %s::float8))"
    with connection.cursor() as cursor:
        names = ", ".join(Candle._fields)
        cursor.execute(f"SELECT {POSSIBLE} FROM {values} AS given ({names})", list(row))
        assert cursor.fetchone() == (is_possible,)


def test_rows_that_break_the_constraint_are_named_and_nothing_is_changed():
    put(candles(60, 120))
    with unprotected():
        plant(MINUTE, candle(180, close=NAN), candle(240)._replace(low=3.0))
        with pytest.raises(ImpossibleCandles) as refused:
            add_constraint(connection)
        assert constraint_state(connection) is ConstraintState.MISSING
    text = str(refused.value)
    assert text.startswith("2 stored candles are impossible")
    assert f"{MINUTE} at 180 (close must be a finite number)" in text
    assert f"{MINUTE} at 240 (low must not be above open or close)" in text
    assert "manage.py verify --candles" in text


def test_migration_stops_with_one_line_and_goes_on_once_they_are_gone():
    put(candles(60))
    with unprotected():
        call_command("migrate", "market", "0003", verbosity=0)
        plant(MINUTE, candle(180, close=NAN))
        with pytest.raises(CommandError, match="1 stored candles are impossible"):
            call_command("migrate", verbosity=0)
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM candles WHERE candle_time = 180")
        call_command("migrate", verbosity=0)
        assert constraint_state(connection) is ConstraintState.VALID


def test_constraint_that_was_never_validated_is_validated():
    with unprotected():
        with connection.cursor() as cursor:
            cursor.execute(
                f"ALTER TABLE candles ADD CONSTRAINT {NAME} CHECK ({POSSIBLE}) NOT VALID"
            )
        assert constraint_state(connection) is ConstraintState.NOT_VALIDATED
        add_constraint(connection)
        assert constraint_state(connection) is ConstraintState.VALID


def test_wrong_rows_are_found_page_by_page(monkeypatch):
    monkeypatch.setattr(candle_checks, "PAGE", 2)
    put([*candles(60, 120), candle(130), *candles(180)])
    with unprotected():
        plant(MINUTE, candle(-60), candle(240, close=NAN), candle(250)._replace(volume=-1.0))
        found = list(wrong_rows(connection, MINUTE))
    assert [row.candle.candle_time for row in found] == [-60, 130, 240, 250]
    assert [row.is_impossible for row in found] == [True, False, True, True]
