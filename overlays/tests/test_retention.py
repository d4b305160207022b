"""Retention: reads at kept candles stay the same bytes, and what is removed stays removed."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest

from factors.domain.engine import Engine
from factors.domain.pivot import PivotParameters
from factors.domain.sr_levels import SrParameters
from factors.engines import Engines
from factors.tests.ledgers import new_series
from market.domain.candle import Candle
from market.domain.rollup import NONE_DERIVED
from market.stores.derived_postgres import PostgresDerivedBook
from market.stores.tests.hypertables import (
    compress_all,
    decompression_limit,
    needs_timescale,
    restored,
)
from overlays.domain.delta import FRESH_LIMIT
from overlays.replay.reader import ReplayReader
from overlays.retention import NotNow, Retention
from overlays.stores import removal
from overlays.tests import ledgers
from overlays.tests.ledgers import FACTORS, OVERLAYS, Worker, postgres_stores
from overlays.verify import Verifier
from tests.recordings import recorded_candles

WINDOW = 60
KEPT = 200
SIZE = 1_200


@pytest.fixture(autouse=True)
def _short_look_back(monkeypatch):
    """Levels of few pivots and short windows, so that a short series has something to lose."""
    own = {
        **FACTORS.parameters,
        "pivot": PivotParameters(3, 1),
        "sr": SrParameters(cluster_pivot_limit=8),
    }
    engine = Engine(FACTORS.factors, own)
    monkeypatch.setattr(ledgers, "FACTORS", engine)
    monkeypatch.setattr("overlays.retention.LONGEST_WINDOW", WINDOW)


@pytest.fixture(params=[False, True], ids=["plain", "dense"])
def stores(request, transactional_db):
    return postgres_stores(dense=request.param)


def walk(size, seed=5):
    rng, price, candles = random.Random(seed), 100.0, []
    for number in range(1, size + 1):
        close = round(max(1.0, price + rng.gauss(0, 1.5)), 2)
        low, high = min(price, close) - rng.random(), max(price, close) + rng.random()
        candles.append(Candle(number * 60, price, round(high, 3), round(low, 3), close, 1.0))
        price = close
    return candles


def retention(stores, series, *, kept=KEPT, at_once=10_000):
    return Retention(
        bounds={series.timeframe: kept * 60},
        engines=Engines(ledgers.FACTORS),
        overlays=OVERLAYS,
        fingerprint_of=lambda _: "f",
        book=PostgresDerivedBook(),
        timeframes=NONE_DERIVED,
        store=stores.candles,
        cell_candles=8,
        at_once=at_once,
    )


def worker_of(stores):
    return Worker(stores, every=8)


def filled(stores, size=SIZE):
    series, worker = new_series(), worker_of(stores)
    worker.ingest(series, walk(size))
    return series, worker


def removed_all(work, series):
    """Remove what is due; return the rows by table."""
    total = dict.fromkeys(removal.TABLES, 0)
    for done in work.remove(series):
        for name, rows in done.items():
            total[name] += rows
    return total


def answers(stores, series, times):
    """What every kind of read at these candles answers, as bytes."""
    reads, found = stores.reads, []
    replay = ReplayReader(stores.candles, stores.facts, stores.drawings, ledgers.FACTORS.factors)
    for time in times:
        for window in (5, WINDOW):
            found.append(reads.frame_at(series, time, window=window).body)
            found.append(reads.delta(series, cursor=0, window=window, at_time=time).body)
            walker = replay.begin(series, time, window=window, with_factors=True)
            found.append([walker.first_rows, walker.points, walker.drawn.shown])
            found.append(walker.advance(time + 5 * 60, 5))
    newest = reads.frame_live(series, window=WINDOW).body
    found.append(newest)
    cursor = stores.drawings.versions(series).greatest_id(times[0])
    found.append(reads.delta(series, cursor=cursor, window=WINDOW, at_time=None).body)
    found.append(reads.poll(series, after_id=cursor, window=WINDOW).body)
    return json.dumps(found, default=_plain)


def _plain(value):
    return dict(value) if hasattr(value, "keys") else list(value)


def test_reads_at_kept_candles_are_the_same(stores):
    series, _ = filled(stores)
    work = retention(stores, series)
    report = work.report(series)
    assert report.parts["candles"].rows > SIZE // 3
    assert all(report.parts[name].rows for name in ("events", "heads", "versions", "points"))
    times = [each.candle_time for each in stores.candles.read_after(series, -1, SIZE)]
    kept = [time for time in times if time >= report.before]
    assert SIZE * 2 // 3 >= len(kept) >= KEPT
    before = answers(stores, series, kept[:10] + kept[10::67])
    gone = removed_all(work, series)
    assert gone == {name: part.rows for name, part in report.parts.items()}
    assert stores.candles.first(series) == kept[0] == report.before
    assert stores.candles.kept_from(series) == report.before
    assert answers(stores, series, kept[:10] + kept[10::67]) == before
    assert stores.is_exact(series)
    assert not work.report(series).parts
    assert removed_all(work, series) == dict.fromkeys(removal.TABLES, 0)


def test_verification_after_other_parameters_reports_that_the_ledgers_are_others(stores):
    series, _ = filled(stores)
    removed_all(retention(stores, series), series)
    other = ledgers.FACTORS.with_parameters({"pivot": PivotParameters(4, 1)})
    verifier = Verifier(
        candles=stores.candles,
        engines=Engines(other),
        facts=stores.facts,
        overlay_engine=OVERLAYS,
        drawings=stores.drawings,
        fingerprint_of=lambda _: "f",
    )
    verdict = verifier.run(series)
    assert not verdict.is_clean
    assert verdict.comparisons[0].first_difference is not None


@pytest.mark.parametrize(
    "name", ["XRP_ETH-1m-with-gaps", pytest.param("DOGE_USDT-1m", marks=pytest.mark.prove)]
)
def test_reads_of_recorded_candles_are_the_same(stores, name):
    series, candles = new_series(), recorded_candles(name)[:1_500]
    worker_of(stores).ingest(series, candles)
    work = retention(stores, series)
    report = work.report(series)
    kept = [each.candle_time for each in candles if each.candle_time >= report.before]
    assert KEPT // 2 <= len(kept) < 1_300
    before = answers(stores, series, kept[:2] + kept[2::211])
    gone = removed_all(work, series)
    assert gone == {table: part.rows for table, part in report.parts.items()}
    assert gone["versions"] and gone["events"]
    assert answers(stores, series, kept[:2] + kept[2::211]) == before
    assert stores.is_exact(series)


def test_removal_goes_on_after_a_kill(stores):
    series, _ = filled(stores)
    expected = {n: p.rows for n, p in retention(stores, series).report(series).parts.items()}
    work = retention(stores, series, at_once=400)
    total = dict.fromkeys(removal.TABLES, 0)
    ended = False
    while not ended:
        # Each run ends after two batches, as if it was killed there.
        ended = True
        for number, done in enumerate(work.remove(series)):
            total = {name: total[name] + rows for name, rows in done.items()}
            assert sum(done.values()) < 400 + removal.MOST_LEFT + 100
            if number == 1:
                ended = False
                break
    assert total == expected and stores.is_exact(series)


def test_series_that_is_written_meanwhile(stores):
    candles, series = walk(SIZE + 60), new_series()
    worker, other = worker_of(stores), new_series()
    worker.ingest(series, candles[:SIZE])
    worker.ingest(other, candles)
    new = iter(candles[SIZE:])
    for _ in retention(stores, series, at_once=100).remove(series):
        if candle := next(new, None):
            worker.ingest(series, [candle])
    worker.ingest(series, list(new))
    assert stores.is_exact(series)
    last = candles[-1].candle_time
    shown = [stores.reads.frame_at(each, last, window=WINDOW).body for each in (series, other)]
    slices = [each["factor_slices"]["snapshots"] for each in shown]
    assert [named["pen"]["history"] for named in slices][0] == slices[1]["pen"]["history"]
    assert slices[0]["sr"]["head"] == slices[1]["sr"]["head"]
    assert shown[0]["draw_state"]["active_ids"] == shown[1]["draw_state"]["active_ids"]


def test_revision_behind_the_cut_gives_what_it_gives_without_a_cut(stores):
    candles = walk(SIZE)
    series, worker = filled(stores)
    whole = new_series()
    worker.ingest(whole, candles)
    removed_all(retention(stores, series), series)
    origin = stores.facts.origin(series).candle_time
    revised = candles[origin // 60 + 2]._replace(high=500.0)
    for each in (series, whole):
        # Another process, that has kept no state.
        worker_of(stores).ingest(each, [revised])
    assert stores.is_exact(series)
    assert stores.facts.events(series, origin + 1, 10**9) == stores.facts.events(
        whole, origin + 1, 10**9
    )
    last = candles[-1].candle_time
    assert (
        stores.reads.frame_at(series, last, window=WINDOW).body["factor_slices"]["snapshots"]["sr"][
            "head"
        ]
        == stores.reads.frame_at(whole, last, window=WINDOW).body["factor_slices"]["snapshots"][
            "sr"
        ]["head"]
    )


def test_revision_before_the_state_that_is_left_computes_all_again(stores):
    series, worker = filled(stores)
    removed_all(retention(stores, series), series)
    first = stores.candles.read_after(series, -1, 3)[2]
    worker_of(stores).ingest(series, [first._replace(high=400.0)])
    assert stores.facts.origin(series) is None
    assert stores.is_exact(series)
    worker.rebuild(series, 0)
    assert stores.is_exact(series)


def test_rebuild_begins_at_the_first_kept_candle_and_can_be_cut_again(stores):
    series, worker = filled(stores)
    removed_all(retention(stores, series), series)
    worker.rebuild(series, 0)
    assert stores.is_exact(series)
    worker.ingest(series, walk(SIZE + 900)[SIZE:])
    gone = removed_all(retention(stores, series), series)
    assert gone["candles"] and stores.is_exact(series)


def test_rebuild_in_the_middle_of_a_removal(stores):
    series, worker = filled(stores)
    steps = retention(stores, series, at_once=60).remove(series)
    next(steps)
    next(steps)
    worker.rebuild(series, 0)
    with pytest.raises(NotNow):
        # The ledgers are not at the newest candle again yet.
        list(steps)
    worker.rebuild(series)
    assert stores.is_exact(series)
    removed_all(retention(stores, series), series)
    assert stores.is_exact(series)


def test_second_cut_keeps_reads(stores):
    series, worker = filled(stores)
    removed_all(retention(stores, series), series)
    worker.ingest(series, walk(SIZE + 700)[SIZE:])
    work = retention(stores, series)
    report = work.report(series)
    assert report.parts["candles"].rows
    kept = [each.candle_time for each in stores.candles.read_after(series, report.before - 1, SIZE)]
    before = answers(stores, series, kept[::61])
    assert removed_all(work, series) == {n: p.rows for n, p in report.parts.items()}
    assert answers(stores, series, kept[::61]) == before
    assert stores.is_exact(series)


def test_few_versions_all_stay(stores):
    series, _ = filled(stores, size=330)
    versions = len(stores.versions(series))
    report = retention(stores, series, kept=60).report(series)
    assert versions > 100 and report.parts["candles"].rows
    before = report.before
    if stores.drawings.versions(series).count_after(0, before - 1, limit=10**6) <= FRESH_LIMIT:
        assert report.parts["versions"].rows == report.parts["points"].rows == 0


def test_ledger_that_is_behind_is_left_alone(stores):
    series, worker = filled(stores)
    worker.without_overlays.ingest(series, walk(SIZE + 1)[SIZE:])
    work = retention(stores, series)
    assert "not up to date" in work.report(series).reason
    with pytest.raises(NotNow):
        list(work.remove(series))


def test_series_without_ledgers_loses_candles_alone(stores):
    series = new_series()
    with stores.candles.writing(series) as writer:
        candles = walk(500)
        writer.upsert(candles)
        writer.advance(candles[-1].candle_time, revised_from=None)
    gone = removed_all(retention(stores, series), series)
    assert gone["candles"] and not gone["events"]
    assert stores.candles.first(series) <= candles[-KEPT].candle_time


def test_other_timeframes_stay(stores):
    series, _ = filled(stores, size=400)
    other = replace(retention(stores, series), bounds={})
    assert other.series() == [] and not other.report(series).parts


def test_drawings_that_a_window_reaches_stay(stores, monkeypatch):
    """Also where more versions may go than a client without any is given."""
    kept_by_count = removal.FIRST_KEPT.replace(str(FRESH_LIMIT + 1), "1")
    monkeypatch.setattr(removal, "FIRST_KEPT", kept_by_count)
    monkeypatch.setattr(removal, "FRESH_LIMIT", 0)
    series, _ = filled(stores, size=700)
    work = retention(stores, series)
    cut = work.report(series).before
    versions = stores.drawings.versions(series)
    times = [each.candle_time for each in stores.candles.read_after(series, cut - 1, 700)]

    def shown():
        found = []
        for time in times:
            cutoff = time - WINDOW * 60
            newest = sorted(versions.newest(time, cutoff=cutoff))
            found.append([newest, versions.points(time, cutoff=cutoff)])
            found.append(versions.newest_of("anchor.current", time))
        return json.dumps(found, default=_plain)

    before = shown()
    assert removed_all(work, series)["versions"] > 500
    assert shown() == before and stores.is_exact(series)


@needs_timescale
def test_candles_of_compressed_chunks_are_removed_like_others(stores):
    with restored():
        series, _ = filled(stores)
        compress_all()
        work = retention(stores, series, at_once=150)
        report = work.report(series)
        times = [each.candle_time for each in stores.candles.read_after(series, -1, SIZE)]
        kept = [time for time in times if time >= report.before]
        before = answers(stores, series, kept[::97])
        with decompression_limit(10):
            gone = removed_all(work, series)
        assert gone["candles"] == report.parts["candles"].rows > 2 * 150
        assert gone["events"] == report.parts["events"].rows
        assert answers(stores, series, kept[::97]) == before
        assert stores.is_exact(series)
