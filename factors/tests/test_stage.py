"""The factor stage: the same ledger in whatever batches the candles come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factors.domain.checkpoints import kept_between
from factors.domain.ledger import FactorUpdate
from factors.domain.tests.recordings import candles_strategy, engine, flat
from factors.ledger_stage import LedgerOutdated
from factors.stage import HOLD_S
from factors.tests.ledgers import BATCHES, KNOWN, Worker, changed, new_series
from market.pipeline import PipelineError
from tests.examples import examples

ENGINE = engine(2, 1)
OTHER_LOGIC = engine(3, 1)
WAVES = flat(*[10.0 + abs(each % 8 - 4) * (1 + each % 3) for each in range(60)])


def catch_up(worker, stores, series):
    while stores.ledger.position(series).head_time < stores.candles.state(series).head:
        worker.rerun(series)


@given(candles=candles_strategy(max_size=80), program=BATCHES, at_once=st.sampled_from([5, 1000]))
@examples(0.7, **KNOWN)
def test_ledger_is_a_fresh_fold_whatever_happened(stores, candles, program, at_once):
    """Random batches, late ones, revisions, failures behind the stage, two workers in turn."""
    series = new_series()
    workers = [Worker(stores, ENGINE, at_once=at_once, every=3) for _ in range(2)]
    for start, size, by, who, fails in program:
        batch = [changed(each, by) for each in candles[start : start + size]]
        worker = workers[who]
        worker.failing.fails = fails
        before = stores.written(series), stores.candles.state(series)
        try:
            worker.ingest(series, batch)
        except PipelineError:
            assert (stores.written(series), stores.candles.state(series)) == before
        stores.check(series, ENGINE)
        worker.failing.fails = False
    workers[0].ingest(series, candles)
    catch_up(workers[1], stores, series)
    stores.check(series, ENGINE)


@given(candles=candles_strategy(), cuts=st.lists(st.integers(0, 90), max_size=4))
@examples(0.4, **KNOWN)
def test_later_batches_change_no_entry(stores, candles, cuts):
    series, worker, start = new_series(), Worker(stores, ENGINE), 0
    before = [[], []]
    for cut in [*sorted(cuts), len(candles)]:
        worker.ingest(series, candles[start:cut])
        now = stores.written(series)
        assert [new[: len(old)] for new, old in zip(now, before, strict=True)] == before
        start, before = max(start, cut), now


def test_restarted_worker_continues_exactly(stores):
    series = new_series()
    for candle in WAVES:
        Worker(stores, ENGINE, every=8).ingest(series, [candle])
    stores.check(series, ENGINE)


def test_repeated_batch_changes_nothing(stores):
    series, worker = new_series(), Worker(stores, ENGINE)
    worker.ingest(series, WAVES)
    before = stores.written(series)
    assert worker.ingest(series, WAVES).results.get(FactorUpdate) is None
    assert stores.written(series) == before


def test_worker_notices_that_another_one_wrote(stores):
    series = new_series()
    one, other = Worker(stores, ENGINE), Worker(stores, ENGINE)
    for candle, worker in zip(WAVES, [one, other, other] * 20, strict=True):
        worker.ingest(series, [candle])
    stores.check(series, ENGINE)


def test_failure_behind_the_stage_takes_everything_back(stores):
    series, worker = new_series(), Worker(stores, ENGINE, every=4)
    worker.ingest(series, WAVES[:20])
    before = stores.written(series), stores.ledger.position(series)
    worker.failing.fails = True
    with pytest.raises(PipelineError, match="ingest_pipeline_failed:failing:"):
        worker.ingest(series, [changed(each) for each in WAVES[10:40]])
    assert (stores.written(series), stores.ledger.position(series)) == before
    assert stores.candles.state(series).head == WAVES[19].candle_time
    worker.failing.fails = False
    worker.ingest(series, WAVES[20:])
    stores.check(series, ENGINE)


def test_state_that_saw_a_candle_which_did_not_land_is_never_used(stores):
    series = new_series()
    one, other = Worker(stores, ENGINE), Worker(stores, ENGINE)
    one.ingest(series, WAVES[:30])
    one.failing.fails = True
    with pytest.raises(PipelineError):
        one.ingest(series, [changed(WAVES[30], by=50.0)])
    one.failing.fails = False
    other.ingest(series, [WAVES[30]])
    one.ingest(series, WAVES[31:])
    stores.check(series, ENGINE)


def test_revision_is_announced_with_its_time(stores):
    series, worker = new_series(), Worker(stores, ENGINE)
    worker.ingest(series, WAVES[:40])
    revised = changed(WAVES[20])
    change = worker.ingest(series, [revised])
    assert [notice.event for notice in change.notices] == ["candle.revised", "factor.rebuild"]
    assert change.notices[1].data == {"series_id": str(series), "from_time": revised.candle_time}
    update = change.results.get(FactorUpdate)
    assert update.dropped_from == revised.candle_time == update.steps[0].candle_time
    assert [step.candle_time for step in update.steps] == [
        each.candle_time for each in WAVES[20:40]
    ]


def test_new_series_is_no_rebuild(stores):
    change = Worker(stores, ENGINE).ingest(new_series(), WAVES)
    assert change.notices == []
    assert change.results.get(FactorUpdate).dropped_from is None
    assert len(change.results.get(FactorUpdate).steps) == len(WAVES)


def test_candles_stored_without_the_stage_are_caught_up(stores):
    series, worker = new_series(), Worker(stores, ENGINE)
    worker.ingest(series, WAVES[:10])
    worker.without_factors.ingest(series, WAVES[10:30])
    worker.without_factors.ingest(series, [changed(WAVES[5])])
    change = worker.ingest(series, WAVES[30:])
    assert change.results.get(FactorUpdate).dropped_from == WAVES[5].candle_time
    stores.check(series, ENGINE)
    assert stores.ledger.position(series).head_time == WAVES[-1].candle_time


def test_other_logic_recomputes_everything(stores):
    series = new_series()
    Worker(stores, ENGINE).ingest(series, WAVES[:50])
    change = Worker(stores, OTHER_LOGIC).ingest(series, WAVES[50:])
    assert [notice.event for notice in change.notices] == ["factor.rebuild"]
    assert change.results.get(FactorUpdate).dropped_from == 0
    stores.check(series, OTHER_LOGIC)
    assert stores.candles.count(series) == len(WAVES)


def test_other_logic_waits_for_the_command_when_rebuilds_are_off(stores):
    series = new_series()
    Worker(stores, ENGINE).ingest(series, WAVES[:50])
    worker = Worker(stores, OTHER_LOGIC, rebuilds=False)
    with pytest.raises(PipelineError) as refused:
        worker.ingest(series, WAVES[50:])
    assert str(refused.value) == f"ingest_pipeline_failed:factor.ingest_closed:{series}"
    assert isinstance(refused.value.__cause__, LedgerOutdated)
    worker.rerun(series, 0)
    worker.ingest(series, WAVES[50:])
    stores.check(series, OTHER_LOGIC)


def test_long_rebuild_continues_with_every_batch(stores):
    series = new_series()
    Worker(stores, ENGINE).ingest(series, WAVES[:57])
    worker = Worker(stores, OTHER_LOGIC, at_once=20)
    heads = []
    for candle in WAVES[57:]:
        worker.ingest(series, [candle])
        heads.append(stores.ledger.position(series).head_time)
    assert heads == [WAVES[19].candle_time, WAVES[39].candle_time, WAVES[59].candle_time]
    stores.check(series, OTHER_LOGIC)


def test_pages_of_old_history_are_each_computed_once(stores):
    series, worker = new_series(), Worker(stores, ENGINE, at_once=10)
    worker.ingest(series, WAVES[30:])
    computed = [
        len(worker.ingest(series, WAVES[start : start + 5]).results.get(FactorUpdate).steps)
        for start in range(0, 30, 5)
    ]
    assert computed == [5] * 6
    catch_up(worker, stores, series)
    stores.check(series, ENGINE)


def test_live_candles_between_pages_of_old_history_compute_little(stores):
    """Each would compute as much as a batch may, for the next page to delete it again."""
    series, now = new_series(), [0.0]
    worker = Worker(stores, ENGINE, at_once=10, clock=lambda: now[0])

    def computed(start, stop):
        return len(worker.ingest(series, WAVES[start:stop]).results.get(FactorUpdate).steps)

    computed(30, 54)
    pages, live = [], []
    for number in range(5):
        pages.append(computed(5 * number, 5 * number + 5))
        live.append(computed(54 + number, 55 + number))
    assert pages == [5] * 5
    # The first one may be the end of it all.
    assert live == [10, 0, 0, 0, 0]
    stores.check(series, ENGINE)
    now[0] += HOLD_S
    assert computed(59, 60) == 10
    catch_up(worker, stores, series)
    stores.check(series, ENGINE)


def test_single_late_candle_is_followed_by_as_many_as_one_batch_may_compute(stores):
    series, worker = new_series(), Worker(stores, ENGINE, at_once=400)
    long = flat(*[10.0 + abs(each % 8 - 4) for each in range(500)])
    worker.ingest(series, long)
    change = worker.ingest(series, [changed(long[50])])
    assert len(change.results.get(FactorUpdate).steps) == 400
    catch_up(worker, stores, series)
    stores.check(series, ENGINE)


def test_unreadable_saved_state_costs_time_only(stores):
    series = new_series()
    Worker(stores, ENGINE, every=4).ingest(series, WAVES[:40])
    with stores.candles.writing(series) as writer:
        ledger = stores.ledger.writing(writer)
        saved = ledger.checkpoints.newest(10**9)
        ledger.checkpoints.save([saved._replace(data=b"{}")], keep=[])
    Worker(stores, ENGINE, every=4).ingest(series, WAVES[40:])
    stores.check(series, ENGINE)


def test_saved_states_are_thinned_out_with_age(stores):
    series = new_series()
    for _ in range(2):
        worker = Worker(stores, ENGINE, every=1)
        worker.ingest(series, WAVES[:30])
        worker.ingest(series, WAVES[30:])
        with stores.candles.writing(series) as writer:
            counts = stores.ledger.writing(writer).checkpoints.counts()
        assert counts == sorted(kept_between(0, 60, every=1))
        assert len(counts) < 20
        worker.rerun(series, 0)
