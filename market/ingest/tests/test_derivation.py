"""Derived candles equal the roll-up of their base, however the base came to be as it is."""

from __future__ import annotations

from unittest import mock

import pytest
from django.db import connection
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from market.domain.candle import Candle
from market.domain.derived import BEGINNING, Incomplete
from market.domain.rollup import DerivedTimeframes, roll_up
from market.domain.series import SeriesId
from market.ingest import derivation as module
from market.ingest.derivation import Derivation
from market.pipeline import Batch, Pipeline, PipelineError
from market.stores.derived_checks import Compared, compare
from market.stores.derived_memory import MemoryDerivedBook
from market.stores.derived_postgres import PostgresDerivedBook
from market.stores.memory import MemoryCandleStore
from market.stores.postgres import PostgresCandleStore
from tests.examples import examples

BASE = SeriesId.parse("sim:spot:BTC/USDT:1m")
START = 1_700_000_400
RULES = DerivedTimeframes.parse("1m", "2m,5m,15m,7m,10m~4m")
FIVE = BASE.with_timeframe(RULES.derived[1])

# The definition in SQL, of the base table alone.
ROLL_UP = """
WITH base AS (
    SELECT candle_time - (candle_time - %(offset)s) %% %(to)s AS bucket, candles.* FROM candles
    JOIN series ON series.id = series_id WHERE name = %(base)s AND candle_time %% 60 = 0
)
SELECT bucket, (array_agg(open ORDER BY candle_time))[1], max(high), min(low),
       (array_agg(close ORDER BY candle_time DESC))[1], sum(volume ORDER BY candle_time)
FROM base GROUP BY bucket
HAVING bucket + %(to)s <= (SELECT max(candle_time) + 60 FROM base)
   AND (count(*) = %(to)s / 60 OR %(partial)s)
ORDER BY bucket
"""


def minute(number, price=1.0, volume=1.0):
    return Candle(START + number * 60, price, price + 1, price - 1, price + 0.5, volume)


def all_of(store, series):
    return store.read_after(series, -1, 100_000)


class Chart:
    """A base series and what is derived of it."""

    def __init__(self, store, book, *, base=BASE, rules=RULES, **options):
        self.store = store
        self.base = base
        self.pipeline = Pipeline(store)
        self.derivation = Derivation(
            store=store, pipeline=self.pipeline, book=book, timeframes=rules, **options
        )

    def post(self, *candles, crashes=False, knows_change=True):
        """Store base candles, and derive unless the process is killed right after the commit."""
        change = self.pipeline.ingest(self.base, candles)
        for series in [] if crashes else self.derivation.due(change):
            list(self.derivation.bring_up(series, change if knows_change else None))
        return change

    def heal(self):
        states = self.store.states([self.base])
        for series, progress in self.derivation.book.known().items():
            if self.derivation.is_behind(series, progress, states[self.base]):
                list(self.derivation.bring_up(series))
                list(self.derivation.extend(series))

    def expected(self, series):
        base = all_of(self.store, self.base)
        if not base:
            return []
        over = self.base.timeframe.close_of(base[-1].candle_time)
        return [
            each.candle
            for each in roll_up(base, self.base.timeframe, series.timeframe)
            if (each.is_whole or self.derivation.keeps_partial)
            and series.timeframe.close_of(each.candle.candle_time) <= over
        ]


@pytest.fixture(params=["memory", "postgres"])
def parts(request, transactional_db):
    if request.param == "memory":
        return MemoryCandleStore(), MemoryDerivedBook()
    return PostgresCandleStore(), PostgresDerivedBook()


@pytest.fixture
def chart(parts):
    return Chart(*parts)


batches = st.lists(
    st.tuples(
        st.lists(st.tuples(st.integers(0, 45), st.floats(2, 99)), min_size=1, max_size=12),
        st.booleans(),
        st.booleans(),
    ),
    max_size=12,
)


def play(chart, drawn):
    for rows, crashes, knows_change in drawn:
        candles = [minute(number, price, price / 3) for number, price in rows]
        chart.post(*candles, crashes=crashes, knows_change=knows_change)


def test_property_any_order_with_crashes_is_the_roll_up():
    @given(batches, st.booleans(), st.sampled_from([3, 10, 50_000]))
    @examples(2.0)
    def check(drawn, keeps_partial, chunk):
        module.CHUNK = chunk
        chart = Chart(MemoryCandleStore(), MemoryDerivedBook(), keeps_partial=keeps_partial)
        play(chart, drawn)
        chart.heal()
        for series in chart.derivation.book.known():
            assert all_of(chart.store, series) == chart.expected(series)
        for series in RULES.derived_of(BASE):
            if chart.expected(series) and not any(crashes for _, crashes, _ in drawn):
                assert series in chart.derivation.book.known()

    with mock.patch.object(module, "CHUNK", module.CHUNK):
        check()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("keeps_partial", [False, True])
def test_postgres_equals_the_sql_roll_up_of_the_base_table(keeps_partial):
    @given(batches)
    @examples(0.12, suppress_health_check=[HealthCheck.too_slow])
    def check(drawn):
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE candles, series, revisions, derived_series CASCADE")
            cursor.execute("TRUNCATE incomplete_buckets")
        chart = Chart(PostgresCandleStore(), PostgresDerivedBook(), keeps_partial=keeps_partial)
        play(chart, drawn)
        chart.heal()
        for series in chart.derivation.book.known():
            with connection.cursor() as cursor:
                values = {
                    "to": series.timeframe.seconds,
                    "offset": series.timeframe.offset,
                    "base": str(BASE),
                    "partial": keeps_partial,
                }
                cursor.execute(ROLL_UP, values)
                assert all_of(chart.store, series) == [Candle._make(r) for r in cursor.fetchall()]

    check()


HALF_HOUR = SeriesId.parse("sim:spot:BTC/USDT:30m")
CALENDARS = DerivedTimeframes.parse(
    "30m",
    "1d~America/New_York,1w~America/New_York,1M~America/New_York,1d~America/Sao_Paulo,"
    "1d~Australia/Lord_Howe,1M,3M,12M~Asia/Shanghai",
)
# Shortly before a day of 23 hours in New York, and of 25; before one that begins at 01:00 in São
# Paulo; before one of 23 and a half hours on Lord Howe; before the ends of months and of a year.
CHANGES = [1_710_046_800, 1_730_606_400, 1_508_036_400, 1_728_127_800, 1_727_728_200, 1_735_660_800]
# The same in the database's words; its own rules of zones.
CALENDAR_ROLL_UP = """
WITH base AS (
    SELECT date_trunc(%(unit)s, to_timestamp(candle_time), %(zone)s) AS day, candles.* FROM candles
    JOIN series ON series.id = series_id WHERE name = %(base)s AND candle_time %% 1800 = 0
), bounds AS (
    SELECT DISTINCT day, extract(epoch FROM day)::bigint AS bucket,
           -- São Paulo's first hour of a day may be 01:00.
           extract(epoch FROM date_trunc(%(unit)s, day AT TIME ZONE %(zone)s + %(length)s::interval)
                              AT TIME ZONE %(zone)s)::bigint AS until
    FROM base
)
SELECT bucket, (array_agg(open ORDER BY candle_time))[1], max(high), min(low),
       (array_agg(close ORDER BY candle_time DESC))[1], sum(volume ORDER BY candle_time)
FROM base JOIN bounds USING (day) GROUP BY bucket, until
HAVING until <= (SELECT max(candle_time) + 1800 FROM base)
   AND (count(*) = (until - bucket) / 1800 OR %(partial)s)
ORDER BY bucket
"""
UNITS = {"1d": ("day", "1 day"), "1w": ("week", "7 days"), "1M": ("month", "1 month")}
UNITS |= {"3M": ("quarter", "3 months"), "12M": ("year", "1 year")}

runs = st.lists(
    st.tuples(st.integers(0, 90), st.integers(1, 110), st.floats(2, 99), st.booleans()), max_size=7
)


def play_runs(chart, start, drawn):
    """Base candles from up to two days before `start`: runs of them, in any order."""
    first = HALF_HOUR.timeframe.open_of(start) - 60 * 1800
    for begin, length, price, crashes in drawn:
        times = range(first + begin * 1800, first + (begin + length) * 1800, 1800)
        candles = [Candle(each, price, price + 1, price - 1, price, price / 3) for each in times]
        chart.post(*candles, crashes=crashes)
    chart.heal()


def test_property_months_and_days_of_zones_are_the_roll_up():
    @given(runs, st.booleans(), st.sampled_from([7, 60, 50_000]), st.sampled_from(CHANGES))
    @examples(0.6)
    def check(drawn, keeps_partial, chunk, start):
        module.CHUNK = chunk
        parts = MemoryCandleStore(), MemoryDerivedBook()
        chart = Chart(*parts, base=HALF_HOUR, rules=CALENDARS, keeps_partial=keeps_partial)
        play_runs(chart, start, drawn)
        for series in chart.derivation.book.known():
            assert all_of(chart.store, series) == chart.expected(series)

    with mock.patch.object(module, "CHUNK", module.CHUNK):
        check()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("keeps_partial", [False, True])
def test_postgres_has_the_same_months_and_days_of_zones(keeps_partial):
    parts = PostgresCandleStore(), PostgresDerivedBook()
    chart = Chart(*parts, base=HALF_HOUR, rules=CALENDARS, keeps_partial=keeps_partial)
    for number, start in enumerate(sorted(CHANGES[keeps_partial::2])):
        gap = [(0, 20, 5.0 + number, False), (25, 60, 7.0, True), (40, 110, 3.0 + number, False)]
        play_runs(chart, start, gap)
    compared = 0
    for series in CALENDARS.derived_of(HALF_HOUR):
        shape, _, zone = series.timeframe.text.partition("~")
        unit, length = UNITS[shape]
        values = {"unit": unit, "length": length, "zone": zone or "UTC", "partial": keeps_partial}
        with connection.cursor() as cursor:
            cursor.execute(CALENDAR_ROLL_UP, values | {"base": str(HALF_HOUR)})
            rolled = [Candle._make(row) for row in cursor.fetchall()]
        assert all_of(chart.store, series) == rolled
        compared += len(rolled)
    assert compared > 10
    checked = compare(
        connection,
        chart.derivation.book.known(),
        CALENDARS,
        keeps_partial=keeps_partial,
        is_hypertable=False,
    )
    for each in checked:
        assert each == Compared(each.series, len(all_of(chart.store, each.series)), 0, 0, 0)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE candles SET high = high + 1 WHERE candle_time = %s AND series_id ="
            " (SELECT id FROM series WHERE name = %s)",
            [all_of(chart.store, HALF_HOUR)[60].candle_time, str(HALF_HOUR)],
        )
    checked = compare(
        connection,
        chart.derivation.book.known(),
        CALENDARS,
        keeps_partial=keeps_partial,
        is_hypertable=False,
    )
    assert any(each.differing for each in checked)


def test_a_bucket_completes_across_a_restart(parts):
    Chart(*parts).post(*map(minute, range(3)))
    chart = Chart(*parts)
    chart.post(minute(3))
    assert all_of(chart.store, FIVE) == []
    chart.post(minute(4))
    assert all_of(chart.store, FIVE) == chart.expected(FIVE) != []


def test_a_crash_after_the_base_commit_is_healed(chart):
    chart.post(*map(minute, range(5)))
    chart.post(*map(minute, range(5, 10)), crashes=True)
    assert len(all_of(chart.store, FIVE)) == 1
    chart.heal()
    assert len(all_of(chart.store, FIVE)) == 2


def test_a_crash_after_a_revision_is_healed(chart):
    chart.post(*map(minute, range(20)))
    chart.post(minute(2, price=7.0), crashes=True)
    assert all_of(chart.store, FIVE) != chart.expected(FIVE)
    chart.heal()
    assert all_of(chart.store, FIVE) == chart.expected(FIVE)


@pytest.mark.parametrize("knows_progress", [False, True])
def test_a_crash_between_two_transactions_of_one_run_is_healed(chart, monkeypatch, knows_progress):
    monkeypatch.setattr(module, "CHUNK", 12)
    if knows_progress:
        chart.post(*map(minute, range(5)))
    chart.post(*map(minute, range(5, 50)), minute(1, price=9.0), crashes=True)
    begun = chart.derivation.bring_up(FIVE)
    next(begun)
    begun.close()
    assert 0 < len(all_of(chart.store, FIVE)) < 10
    chart.heal()
    assert all_of(chart.store, FIVE) == chart.expected(FIVE)


def test_a_revised_base_candle_revises_its_bucket(chart):
    chart.post(*map(minute, range(20)))
    change = chart.pipeline.ingest(BASE, [minute(2, price=7.0)])
    (revised,) = chart.derivation.bring_up(FIVE, change)
    assert (revised.revised_from, revised.state.epoch) == (START, 1)
    assert [notice.event for notice in revised.notices] == ["candle.revised"]
    assert chart.store.state(FIVE).epoch == 1


def test_a_missing_base_candle_gives_no_candle_and_is_named(chart):
    chart.post(*[minute(number) for number in range(11) if number != 2])
    assert [each.candle_time for each in all_of(chart.store, FIVE)] == [START + 300]
    book = chart.derivation.book
    assert book.incomplete(FIVE, 0, START + 900, limit=9) == [Incomplete(START, 4, 5)]
    chart.post(minute(2))
    assert [each.candle_time for each in all_of(chart.store, FIVE)] == [START, START + 300]
    assert book.incomplete(FIVE, 0, START + 900, limit=9) == []


def test_a_partial_candle_is_kept_and_marked_by_setting(parts):
    chart = Chart(*parts, keeps_partial=True)
    chart.post(*[minute(number) for number in range(6) if number != 2])
    assert [each.candle_time for each in all_of(chart.store, FIVE)] == [START]
    book = chart.derivation.book
    assert book.incomplete(FIVE, 0, START + 900, limit=9) == [Incomplete(START, 4, 5)]


def test_the_newest_incomplete_buckets_of_several_series_are_read_together(chart):
    chart.post(*[minute(number) for number in range(21) if number not in (2, 7, 12)])
    book = chart.derivation.book
    newest = [Incomplete(START + 300, 4, 5), Incomplete(START + 600, 4, 5)]
    assert book.newest_incomplete([FIVE, BASE], limit=2) == {FIVE: newest}
    assert book.newest_incomplete([], limit=2) == {}


def test_a_bucket_that_ends_without_its_last_candle_is_named(chart):
    chart.post(*map(minute, range(4)))
    chart.post(minute(5))
    assert chart.derivation.book.incomplete(FIVE, 0, START, limit=9) == [Incomplete(START, 4, 5)]


def test_a_first_fill_reads_the_newest_and_the_rest_follows(parts, monkeypatch):
    monkeypatch.setattr(module, "FIRST_BUCKETS", 1)
    monkeypatch.setattr(module, "CHUNK", 40)
    chart = Chart(*parts, first_candles=100)
    chart.pipeline.ingest(BASE, map(minute, range(500)))
    list(chart.derivation.bring_up(FIVE))
    assert all_of(chart.store, FIVE) == chart.expected(FIVE)[-20:]
    chart.heal()
    assert all_of(chart.store, FIVE) == chart.expected(FIVE)
    assert chart.derivation.book.known()[FIVE].since == BEGINNING


def test_base_history_before_a_first_fill_is_derived_as_it_arrives(chart):
    chart.post(*map(minute, range(20, 30)))
    chart.post(*map(minute, range(10, 20)))
    chart.post(*map(minute, range(10)))
    assert all_of(chart.store, FIVE) == chart.expected(FIVE)
    assert len(all_of(chart.store, FIVE)) == 6


def test_an_open_bucket_costs_no_transaction(chart):
    assert chart.derivation.due(chart.pipeline.ingest(BASE, [minute(0)])) == []
    due = chart.derivation.due(chart.pipeline.ingest(BASE, [minute(1)]))
    assert [str(each.timeframe) for each in due] == ["2m"]
    assert chart.derivation.due(chart.pipeline.ingest(BASE, [minute(2)])) == []


def test_a_failing_stage_of_a_derived_series_leaves_the_base_alone(parts):
    class Failing:
        name = "factor"

        def apply(self, writer, change):
            raise RuntimeError

    store, book = parts
    chart = Chart(store, book)
    failing = Derivation(
        store=store, pipeline=Pipeline(store, [Failing()]), book=book, timeframes=RULES
    )
    change = chart.post(*map(minute, range(10)), crashes=True)
    with pytest.raises(PipelineError):
        list(failing.bring_up(FIVE, change))
    assert store.state(BASE).head == START + 9 * 60
    assert (store.state(FIVE).head, book.known()) == (None, {})
    list(chart.derivation.bring_up(FIVE))
    assert len(all_of(store, FIVE)) == 2


@pytest.mark.parametrize("keeps_partial", [False, True])
def test_bucket_whose_base_was_partly_removed_stays(transactional_db, keeps_partial):
    store = PostgresCandleStore()
    chart = Chart(store, PostgresDerivedBook(), keeps_partial=keeps_partial)
    chart.post(*[minute(number) for number in range(22)])
    before = all_of(store, FIVE)
    cut = START + 12 * 60
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM candles WHERE candle_time < %s AND series_id ="
            " (SELECT id FROM series WHERE name = %s)",
            (cut, str(BASE)),
        )
        cursor.execute("UPDATE series SET kept_from = %s WHERE name = %s", (cut, str(BASE)))
    # A revision in the bucket that the cut divides, and one behind it.
    chart.post(minute(13, 5.0), minute(16, 7.0))
    after = all_of(store, FIVE)
    assert after[:-1] == before[:-1]
    assert after[-1] == chart.expected(FIVE)[-1] != before[-1]
    assert chart.derivation.book.incomplete(FIVE, 0, 2**40, limit=9) == []


def test_base_that_has_no_candles_derives_nothing(chart):
    assert list(chart.derivation.bring_up(FIVE))[0].is_empty
    assert chart.derivation.book.known() == {}


def test_series_of_many_bases_are_derived_in_one_transaction(chart):
    chart.pipeline.ingest(BASE, map(minute, range(30)))
    other = SeriesId.parse("sim:spot:ETH/USDT:1m")
    chart.pipeline.ingest(other, map(minute, range(10)))
    series = [*RULES.derived_of(BASE), *RULES.derived_of(other)]
    works = {each: chart.derivation.work(each) for each in series}
    batches = [Batch(each, (), make=next(work)) for each, work in works.items()]
    outcomes = chart.pipeline.ingest_group(batches)
    assert [change.series for change in outcomes] == series
    assert all(next(work, None) is None for work in works.values())
    assert set(chart.derivation.book.known()) == set(series)
    for each in RULES.derived_of(BASE):
        assert all_of(chart.store, each) == chart.expected(each)
    assert len(all_of(chart.store, other.with_timeframe(FIVE.timeframe))) == 2
