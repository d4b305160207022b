"""`timescale status --check-derived` on a plain table, a hypertable and compressed chunks."""

from __future__ import annotations

import io
from contextlib import nullcontext
from dataclasses import replace

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from market.domain.series import SeriesId
from market.ingest.tests.test_derivation import (
    BASE,
    CALENDARS,
    FIVE,
    HALF_HOUR,
    RULES,
    START,
    Chart,
    all_of,
    minute,
    play_runs,
)
from market.stores import derived_checks
from market.stores import postgres_timescale as timescale
from market.stores.derived_checks import Compared
from market.stores.derived_postgres import PostgresDerivedBook
from market.stores.postgres import PostgresCandleStore
from market.stores.tests.hypertables import compress_all, needs_timescale, restored, sql

OTHER = SeriesId.parse("sim:spot:ETH/USDT:1m")
SHIFTED = BASE.with_timeframe(RULES.derived[-1])
NAMES = ",".join(timeframe.text for timeframe in RULES.derived)
WEEK = 7 * 24 * 60
"""Base candles in a chunk."""

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(
    params=[
        "plain",
        pytest.param("hypertable", marks=needs_timescale),
        pytest.param("compressed", marks=needs_timescale),
    ]
)
def kind(request, transactional_db):
    """The table that candles are in: plain even where the tests' server has TimescaleDB."""
    has_timescale = timescale.status(connection).hypertable is not None
    with restored() if has_timescale else nullcontext():
        if request.param == "plain":
            timescale.disable(connection)
        yield request.param


@pytest.fixture(params=[False, True], ids=["whole", "partial"])
def chart(request, kind, settings):
    """Two bases with what is derived of each, from one chunk into the next, with gaps."""
    settings.SWITCHES = replace(
        settings.SWITCHES,
        enable_derived_timeframes=True,
        derived_timeframes=NAMES,
        enable_derived_partial_candles=request.param,
    )
    found = Chart(PostgresCandleStore(), PostgresDerivedBook(), keeps_partial=request.param)
    missing = {17, 41, 42, 43, 44, 45, 46, 90}
    found.post(*[minute(n, 2.0 + n % 9, abs(n) / 3) for n in range(-30, 130) if n not in missing])
    found.post(*[minute(n, 3.0, 0.1) for n in range(WEEK - 9, WEEK + 9)])
    found.pipeline.ingest(OTHER, [minute(n, 5.0) for n in range(50)])
    for each in RULES.derived_of(OTHER):
        list(found.derivation.bring_up(each))
    # A revision of the past, and candles that come late.
    found.post(minute(5, 40.0), minute(17, 7.0), minute(43, 9.0))
    if kind == "compressed":
        compress_all()
    return found


def check():
    """The lines about derived series."""
    out = io.StringIO()
    try:
        call_command("timescale", "status", "--check-derived", stdout=out)
    except CommandError as error:
        return out.getvalue() + str(error)
    return out.getvalue()


def counts(chart, series):
    return f"{series}: {len(chart.expected(series)):,} candles, 0 missing, 0 unexpected, 0 diff"


def test_series_that_are_derived_as_they_should_be(chart, kind):
    shown = check()
    assert "derived_differ" not in shown
    for series in RULES.derived_of(BASE):
        assert counts(chart, series) in shown
    assert f"{OTHER.with_timeframe(FIVE.timeframe)}: 10 candles, 0 missing" in shown
    assert ("candles: plain table" in shown) == (kind == "plain")
    # Nothing of the check stays.
    assert sql("SELECT count(*) FROM pg_class WHERE relname LIKE '%derived_check%'") == [(0,)]


ONCE = pytest.mark.parametrize("chart", [True], indirect=True, ids=["partial"])
CHANGES = {
    "0 missing, 0 unexpected, 1 different": "UPDATE candles SET high = high + 1 WHERE {one}",
    "0 missing, 0 unexpected, 2 different": "UPDATE candles SET volume = volume + 1 WHERE {both}",
    "2 missing, 0 unexpected, 0 different": "DELETE FROM candles WHERE {both}",
    "0 missing, 1 unexpected, 0 different": "INSERT INTO candles (series_id, candle_time, open,"
    " high, low, close, volume) SELECT series_id, candle_time + 1, open, high, low, close, volume"
    " FROM candles WHERE {one}",
}


@ONCE
@pytest.mark.parametrize("found", CHANGES)
def test_planted_differences_are_named(chart, found):
    ((key,),) = sql("SELECT id FROM series WHERE name = %s", str(SHIFTED))
    time = SHIFTED.timeframe.open_of(START + 6_000)
    one, both = (
        f"series_id = {key} AND candle_time IN ({times})"
        for times in (time, f"{time}, {time + 600}")
    )
    assert sql(f"SELECT count(*) FROM candles WHERE {both}") == [(2,)]
    sql(CHANGES[found].format(one=one, both=both))
    shown = check()
    assert f" candles, {found}" in shown.split(f"{SHIFTED}: ")[1].splitlines()[0]
    assert shown.endswith("derived_differ: 1 derived series differ from their base")
    assert counts(chart, FIVE) in shown


@ONCE
def test_check_has_the_time_that_it_needs(chart, kind, monkeypatch):
    """The connection's own limit is for requests."""
    slow = "(SELECT pg_sleep(0.4)) IS NOT NULL AND "
    compare = derived_checks.COMPARE.replace("WHERE series_id", f"WHERE {slow}series_id", 1)
    monkeypatch.setattr(derived_checks, "COMPARE", compare)
    known = chart.derivation.book.known()
    ((before,),) = sql("SHOW statement_timeout")
    sql("SET statement_timeout = 300")
    try:
        compared = list(
            derived_checks.compare(
                connection,
                {FIVE: known[FIVE]},
                RULES,
                keeps_partial=chart.derivation.keeps_partial,
                is_hypertable=kind != "plain",
            )
        )
        assert sql("SHOW statement_timeout") == [("300ms",)]
    finally:
        sql(f"SET statement_timeout = '{before}'")
    assert [each.is_equal for each in compared] == [True]


DST = 1_710_046_800
"""Shortly before a day of 23 hours in New York."""


def calendar_check(found, *, is_hypertable):
    """What the check finds of each series, and the statements that it sends."""
    with CaptureQueriesContext(connection) as sent:
        compared = derived_checks.compare(
            connection,
            found.derivation.book.known(),
            CALENDARS,
            keeps_partial=found.derivation.keeps_partial,
            is_hypertable=is_hypertable,
        )
        return list(compared), [each["sql"] for each in sent]


@pytest.mark.parametrize("keeps_partial", [False, True])
def test_months_and_days_of_zones_are_compared_with_parts_of_an_aggregate(kind, keeps_partial):
    found = Chart(
        PostgresCandleStore(),
        PostgresDerivedBook(),
        base=HALF_HOUR,
        rules=CALENDARS,
        keeps_partial=keeps_partial,
    )
    # Three weeks around it with gaps, some of which are filled later, and a revision.
    play_runs(found, DST, [(0, 500, 3.0, False), (503, 400, 4.0, False), (501, 1, 5.0, False)])
    play_runs(found, DST, [(30, 2, 8.0, False)])
    if kind == "compressed":
        compress_all()
    compared, sent = calendar_check(found, is_hypertable=kind != "plain")
    assert {each.series for each in compared} == set(found.derivation.book.known())
    for each in compared:
        count = len(all_of(found.store, each.series))
        assert each == Compared(each.series, count, 0, 0, 0)
    assert sum(each.candles for each in compared) > 40
    made = [each for each in sent if "timescaledb.continuous" in each]
    assert len(made) == (0 if kind == "plain" else len(compared))
    if made:
        # Days of New York begin at 05:00 and 04:00.
        assert "time_bucket(3600::bigint" in made[0]
    day = next(each.series for each in compared if each.candles)
    time = all_of(found.store, day)[1].candle_time
    sql(
        "UPDATE candles SET low = low - 1 WHERE candle_time = %s AND series_id ="
        " (SELECT id FROM series WHERE name = %s)",
        time,
        str(day),
    )
    compared, _ = calendar_check(found, is_hypertable=kind != "plain")
    assert [each.series for each in compared if not each.is_equal] == [day]
    assert sql("SELECT count(*) FROM pg_class WHERE relname LIKE '%derived_check%'") == [(0,)]
