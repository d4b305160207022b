"""Alerts are written with their candles: exactly one each, whatever happens to the batch."""

from __future__ import annotations

import json
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from factors.alerts.models import Alert, AlertRule
from factors.alerts.outbox import load_rules
from factors.alerts.rules import KINDS, RuleBook
from factors.alerts.stage import MOST_AT_ONCE, AlertStage
from factors.alerts.tests.test_occurrences import walk
from factors.domain.ledger import Rebuild
from factors.domain.tests.recordings import engine, flat
from factors.engines import Engines
from factors.stage import FactorStage
from factors.stores.postgres import PostgresFactorLedger
from factors.tests.ledgers import Failing, changed, new_series
from market.pipeline import Batch, Pipeline, PipelineError
from market.stores import postgres
from market.stores.postgres import PostgresCandleStore

pytestmark = pytest.mark.django_db(transaction=True)

ENGINE = engine(3, 1)
EPOCH = datetime.fromtimestamp(0, UTC)


class Process:
    """One process's pipeline with alerts, at a time in Unix seconds."""

    def __init__(self, *, at=0.0, max_age_s=10**9):
        self.now, self.rung = at, 0
        store, ledger = PostgresCandleStore(), PostgresFactorLedger()
        self.book, self.failing = RuleBook(), Failing()
        alerts = AlertStage(
            self.book,
            ledger=ledger,
            candles=store,
            ring=self.ring,
            max_age_s=max_age_s,
            now=lambda: self.now,
        )
        factors = FactorStage(Engines(ENGINE), ledger, candles=store)
        self.pipeline = Pipeline(store, [factors, alerts, self.failing])

    def ring(self):
        self.rung += 1

    def refresh(self):
        self.book.replace(load_rules())


@pytest.fixture
def process():
    return Process()


@pytest.fixture
def series():
    return new_series()


def make_rule(**fields):
    values = {"name": "r", "series": "*", "kinds": ",".join(KINDS), "active_from": EPOCH}
    return AlertRule.objects.create(**values | fields)


def price_rule(**fields):
    return make_rule(source="price", level=100.0, kinds="", **fields)


def keys(**chosen):
    rows = Alert.objects.filter(**chosen).order_by("candle_time", "id")
    return [(row.kind, row.event_key) for row in rows]


def ids():
    return sorted(Alert.objects.values_list("id", flat=True))


def test_batches_of_any_size_make_the_same_alerts_as_single_candles(process):
    make_rule(name="facts")
    price_rule(name="price")
    candles, single, halves = walk(400, 3), new_series(), new_series()
    for candle in candles:
        process.pipeline.ingest(single, [candle])
    other = Process()
    for start in range(0, len(candles), 37):
        (process if start % 2 else other).pipeline.ingest(halves, candles[start : start + 37])
    found = keys(series=str(single))
    assert len(found) > 50
    assert {kind for kind, _ in found} >= {"pen.confirmed", "zhongshu.formed", "price.crossed"}
    assert sorted(keys(series=str(halves))) == sorted(found)


def test_repeats_revisions_rebuilds_and_backfill_add_no_alert(process, series):
    make_rule()
    price_rule()
    candles = walk(300, 3)
    process.pipeline.ingest(series, candles[50:])
    known, rung = ids(), process.rung
    assert known
    other = Process()
    other.pipeline.ingest(series, candles[50:])
    process.pipeline.ingest(series, [changed(candles[200], by=20.0)])
    process.pipeline.rerun(series, Rebuild(0))
    other.pipeline.rerun(series, Rebuild(candles[60].candle_time))
    other.pipeline.ingest(series, candles[:50])
    assert ids() == known
    assert process.rung == rung and other.rung == 0


def test_batch_that_fails_has_no_alert_and_its_repeat_has_them(process, series):
    price_rule()
    process.pipeline.ingest(series, flat(99))
    process.failing.fails = True
    with pytest.raises(PipelineError):
        process.pipeline.ingest(series, flat(99, 101))
    assert ids() == [] and process.rung == 0
    process.failing.fails = False
    process.pipeline.ingest(series, flat(99, 101))
    assert keys() == [("price.crossed", "crossed:120:up")] and process.rung == 1


def test_series_of_a_group_have_alerts_of_their_own(process):
    price_rule()
    group = [new_series() for _ in range(3)]
    process.pipeline.ingest_group([Batch(each, flat(99)) for each in group])
    process.pipeline.ingest_group([Batch(each, flat(99, 101)) for each in group])
    assert sorted(Alert.objects.values_list("series", flat=True)) == sorted(map(str, group))


def test_close_before_a_batch_is_read_when_another_process_wrote_it(process, series):
    price_rule()
    other = Process()
    process.pipeline.ingest(series, flat(99))
    other.pipeline.ingest(series, flat(99, 101))
    process.pipeline.ingest(series, flat(99, 101, 102))
    # Its own memory would have crossed from 99.
    assert keys() == [("price.crossed", "crossed:120:up")]
    other.pipeline.ingest(series, flat(99, 101, 97)[2:])
    process.pipeline.ingest(series, flat(99, 101, 102, 103)[3:])
    assert keys()[1:] == [("price.crossed", "crossed:240:up")], "the close before was revised"


def test_candles_that_ended_before_the_rule_was_armed_or_too_long_ago_make_none(series):
    process = Process(at=1000.0, max_age_s=400)
    price_rule(active_from=datetime.fromtimestamp(720, UTC))
    closes = [99, 101] * 10
    process.pipeline.ingest(series, flat(*closes)[:16])
    # The candle at 660 ends at 720: not after the rule was armed. The one at 720 does.
    assert keys()[0] == ("price.crossed", "crossed:720:up") and len(keys()) == 5
    process.now = 5000.0
    process.pipeline.ingest(series, flat(*closes))
    assert len(keys()) == 5


def test_rule_that_fires_once_has_one_alert_for_each_series(process):
    price_rule(once=True)
    for each in (first := new_series(), new_series()):
        process.pipeline.ingest(each, flat(99, 101, 99))
        process.pipeline.ingest(each, flat(99, 101, 99, 101))
    assert Alert.objects.count() == 2
    assert keys(series=str(first)) == [("price.crossed", "crossed:120:up")]


def test_pause_counts_from_the_candle_of_the_alert_before(process, series):
    price_rule(cooldown_s=180)
    process.pipeline.ingest(series, flat(99, 101, 99, 101))
    process.pipeline.ingest(series, flat(99, 101, 99, 101, 99, 101, 99))
    times = list(Alert.objects.order_by("candle_time").values_list("candle_time", flat=True))
    assert times == [120, 300]


def test_rule_that_was_disabled_or_deleted_meanwhile_makes_none_and_fails_nothing(process, series):
    rule, other = price_rule(), price_rule()
    process.refresh()
    AlertRule.objects.filter(pk=rule.pk).update(enabled=False)
    other.delete()
    process.pipeline.ingest(series, flat(99, 101))
    assert ids() == [] and process.pipeline.ingest(series, flat(99, 101, 102)).fresh


def test_new_rule_counts_after_the_book_was_read_again(process, series):
    process.pipeline.ingest(series, flat(99))
    price_rule()
    process.pipeline.ingest(series, flat(99, 101))
    assert ids() == []
    process.refresh()
    process.pipeline.ingest(series, flat(99, 101, 99))
    assert keys() == [("price.crossed", "crossed:180:down")]


def test_alerts_of_one_batch_are_bounded(process, series):
    price_rule()
    process.pipeline.ingest(series, flat(*[99, 101] * MOST_AT_ONCE))
    assert Alert.objects.count() == MOST_AT_ONCE


class CountedCursor:
    """A cursor of the driver that counts what is executed with it."""

    def __init__(self, cursor, executed):
        self._cursor, self._executed = cursor, executed

    def __getattr__(self, name):
        return getattr(self._cursor, name)

    def execute(self, statement, *values):
        self._executed.append(statement)
        return self._cursor.execute(statement, *values)


@pytest.fixture
def executed(monkeypatch):
    """Every statement of the store, the ledgers and the outbox from now on."""
    found, real = [], postgres._cursor

    @contextmanager
    def counted():
        with real() as cursor:
            yield CountedCursor(cursor, found)

    monkeypatch.setattr(postgres, "_cursor", counted)
    return found


def test_alerts_cost_a_live_candle_no_round_trip(series, executed, django_assert_num_queries):
    process, without = Process(), Process()
    without.pipeline._stages = without.pipeline._stages[:1]
    candles, other = flat(99, 101, 99, 101), new_series()
    price_rule(series="okx:*")
    process.pipeline.ingest(series, candles[:2])
    without.pipeline.ingest(other, candles[:2])
    executed.clear()

    def count(pipeline, name, candle):
        executed.clear()
        # Django's own cursors are not counted above.
        with django_assert_num_queries(0):
            pipeline.ingest(name, [candle])
        return len(executed)

    plain = count(without.pipeline, other, candles[2])
    assert plain and count(process.pipeline, series, candles[2]) == plain
    AlertRule.objects.update(series="*")
    process.refresh()
    # The close before is not known yet, and read once.
    process.pipeline.ingest(series, flat(99, 101, 99, 98)[3:])
    assert count(process.pipeline, series, flat(99, 101, 99, 98, 101)[4]) == plain
    assert keys() == [("price.crossed", "crossed:300:up")]


def test_body_has_what_a_receiver_needs(series):
    process = Process(at=1234.5)
    rule = price_rule(name="Above 100", webhook_url="https://Example.com/hook", is_public=True)
    process.pipeline.ingest(series, flat(99, 101))
    row = Alert.objects.get()
    assert (row.state, row.host, row.is_streamed, row.is_public) == (
        "pending",
        "example.com",
        True,
        True,
    )
    assert json.loads(row.body) == {
        "id": row.id,
        "kind": "price.crossed",
        "series_id": str(series),
        "candle_time": 120,
        "event_key": "crossed:120:up",
        "created_at": 1234.5,
        "rule": {"id": rule.pk, "name": "Above 100"},
        "data": {
            "level": 100.0,
            "direction": "up",
            "by": "close",
            "previous_close": 99,
            "open": 101.0,
            "high": 101.0,
            "low": 101.0,
            "close": 101.0,
        },
    }
