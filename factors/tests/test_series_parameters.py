"""Parameters of single series: every process computes with them, from the next batch on."""

from __future__ import annotations

import pytest

from factors import runtime
from factors.domain.engine import Engine
from factors.domain.parameters import ParameterError
from factors.domain.tests.recordings import flat
from factors.engines import Engines
from factors.ledger_stage import LedgerOutdated
from factors.models import FactorParameters
from factors.rebuild import Rebuilder
from factors.series_parameters import SUPERSEDED, change_parameters
from factors.stage import FactorStage
from factors.tests.ledgers import Stores, new_series
from market.api.tests.conftest import fresh_process
from market.models import Series
from market.pipeline import Batch, Pipeline, PipelineError
from market.runtime import candle_store

__all__ = ["fresh_process"]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("fresh_process")]

WAVES = flat(*[100.0 + abs(each % 24 - 12) for each in range(90)])
SHORT = {"window_major": 4, "window_minor": 2}


class Process:
    """One process: engines and states of its own; it counts how often it reads parameters."""

    def __init__(self, **options):
        self.reads = 0
        stage = FactorStage(Engines(runtime.engine(), self._read), **options)
        self.pipeline = Pipeline(candle_store(), [stage])

    def _read(self, series):
        self.reads += 1
        return runtime.parameters_of(series)

    def ingest(self, series, candles):
        return self.pipeline.ingest(series, candles)


def give(series, values, factor="pivot"):
    """Set parameters of a series, as the admin does."""
    key = {"series": Series.objects.get(name=str(series)), "factor": factor}
    return change_parameters(
        series,
        lambda: FactorParameters.objects.update_or_create(defaults={"parameters": values}, **key),
    )


def engine_with(values):
    return runtime.engine().with_parameters(
        {"pivot": type(runtime.engine().parameters["pivot"])(**values)}
    )


def check(series, engine):
    stores = Stores(candle_store(), runtime.factor_ledger())
    stores.check(series, engine)
    assert runtime.factor_ledger().position(series).fingerprint == engine.fingerprint
    return stores


def test_every_process_computes_with_new_parameters_from_its_next_batch_on():
    one, other, series = Process(), Process(), new_series()
    one.ingest(series, WAVES[:50])
    other.ingest(series, WAVES[50:60])
    check(series, runtime.engine())
    assert give(series, SHORT)
    wanted = engine_with(SHORT)
    # Each of them keeps a state that was computed with the old ones.
    for process, start in ((other, 60), (one, 61), (other, 62), (one, 63)):
        process.ingest(series, WAVES[start : start + 1])
        check(series, wanted)
    assert runtime.factor_ledger().events(series, 0, 10**9)


def test_kept_state_of_a_process_that_made_the_last_batch_notices_too():
    process, series = Process(), new_series()
    process.ingest(series, WAVES[:60])
    give(series, SHORT)
    change = process.ingest(series, WAVES[60:61])
    assert [notice.event for notice in change.notices] == ["factor.rebuild"]
    check(series, engine_with(SHORT))


def test_candles_do_not_have_parameters_read():
    processes, series = [Process(), Process()], new_series()
    processes[0].ingest(series, WAVES[:40])
    give(series, SHORT)
    for process in processes:
        process.ingest(series, WAVES[: 41 if process is processes[0] else 42])
    reads = [process.reads for process in processes]
    # In turn, so that neither continues its own state.
    for start in range(42, 60):
        processes[start % 2].ingest(series, WAVES[start : start + 1])
    assert [process.reads for process in processes] == reads
    check(series, engine_with(SHORT))


def test_series_of_one_group_have_parameters_of_their_own():
    process, one, other = Process(), new_series(), new_series()
    process.pipeline.ingest_group([Batch(each, WAVES[:50]) for each in (one, other)])
    give(one, SHORT)
    for start in range(50, 54):
        batches = [Batch(each, WAVES[start : start + 1]) for each in (one, other)]
        outcomes = process.pipeline.ingest_group(batches)
        assert not [each for each in outcomes if isinstance(each, Exception)]
    check(one, engine_with(SHORT))
    check(other, runtime.engine())


def test_batches_give_what_single_candles_give():
    process, whole, single = Process(), new_series(), new_series()
    for series in (whole, single):
        process.ingest(series, WAVES[:1])
        give(series, SHORT)
    process.ingest(whole, WAVES)
    for candle in WAVES:
        process.ingest(single, [candle])
    stores = check(whole, engine_with(SHORT))
    assert stores.written(single) == stores.written(whole)


def test_without_automatic_rebuilds_the_series_waits_for_the_command():
    process, series = Process(rebuilds=False), new_series()
    process.ingest(series, WAVES[:60])
    give(series, SHORT)
    with pytest.raises(PipelineError) as failed:
        process.ingest(series, WAVES[60:61])
    assert isinstance(failed.value.__cause__, LedgerOutdated)
    worker = Rebuilder(process.pipeline, candle_store(), runtime.factor_ledger(), runtime.engines())
    list(worker.run(series, worker.start_of(series, None)))
    process.ingest(series, WAVES[60:61])
    check(series, engine_with(SHORT))


def test_removed_parameters_bring_the_usual_ones_back():
    process, series = Process(), new_series()
    process.ingest(series, WAVES[:50])
    give(series, SHORT)
    process.ingest(series, WAVES[50:51])
    assert change_parameters(series, FactorParameters.objects.all().delete)
    process.ingest(series, WAVES[51:52])
    check(series, runtime.engine())


def test_equal_parameters_change_nothing():
    process, series = Process(), new_series()
    process.ingest(series, WAVES[:50])
    assert not give(series, {"window_major": 50})
    assert runtime.factor_ledger().position(series).fingerprint != SUPERSEDED
    assert not process.ingest(series, WAVES[50:51]).notices


def test_parameters_that_are_not_accepted_any_more_fail_the_batch_with_their_reason():
    process, series = Process(), new_series()
    process.ingest(series, WAVES[:50])
    give(series, {"window_major": 0})
    with pytest.raises(PipelineError) as failed:
        process.ingest(series, WAVES[50:51])
    assert isinstance(failed.value.__cause__, ParameterError)
    assert str(series) in failed.value.reason and "at least 1" in failed.value.reason


def test_parameters_of_a_factor_that_is_not_loaded_have_no_effect():
    process, series = Process(), new_series()
    process.ingest(series, WAVES[:50])
    assert not give(series, {"length": 3}, factor="gone")
    process.ingest(series, WAVES[50:51])
    check(series, runtime.engine())


def test_engine_of_other_parameters_keeps_the_logic_version():
    engine = Engine(runtime.engine().factors, salt="2")
    assert engine.with_parameters({}).fingerprint == engine.fingerprint
