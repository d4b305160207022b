"""Replay packages over HTTP: what each route answers and refuses, and what a client plays."""

from __future__ import annotations

import gzip

import orjson
import pytest

from factors import runtime as factors
from lab.replay import active_at
from market.domain.series import SeriesId
from overlays import runtime as overlays
from overlays.api import replay_views
from overlays.api.tests.drawn import SERIES, ingest, refused, walk
from overlays.replay import coverage, jobs
from overlays.replay.package import PackageSpec
from overlays.replay.tests.asked import (
    BUILD,
    COVERAGE,
    ENSURE,
    PREPARE,
    STATUS,
    WINDOW,
    Player,
    built,
    streamed,
)
from overlays.replay.tests.states import framed

pytestmark = pytest.mark.usefixtures("small", "folder")

SHORT = {"window_candles": 60, "window_size": 25, "snapshot_interval": 7}


@pytest.fixture
def folder(switch, tmp_path):
    """Where packages are kept."""
    switch(artifacts_dir=str(tmp_path))
    return tmp_path


@pytest.fixture
def asked(monkeypatch):
    """The keys of the builds that were asked for; none begins by itself."""
    keys = []
    monkeypatch.setattr(replay_views, "request_build", lambda key: keys.append(key) or True)
    return keys


@pytest.fixture
def builder(monkeypatch):
    """Builds what is asked for at once."""
    monkeypatch.setattr(replay_views, "request_build", lambda key: [*jobs.parts(key)] or True)


@pytest.fixture
def filled(either_store):
    """A series in memory, then in PostgreSQL."""
    candles = walk(150)
    ingest(candles[:100])
    for candle in candles[100:]:
        ingest([candle])
    return candles


def test_every_bar_of_a_package_is_what_its_frame_was(api, filled, builder):
    player = Player(api, built(api, **SHORT))
    states = dict(player.states(window=60))
    assert list(states) == [each.candle_time for each in filled[-60:]]
    for at, state in states.items():
        assert state == framed(overlays.reads(), SeriesId.parse(SERIES), at, 60), at


def test_snapshots_of_the_contract_are_those_of_every_bar(api, filled, builder):
    key = built(api, **SHORT)
    reads, series = overlays.reads(), SeriesId.parse(SERIES)
    for target in (0, 30, 59):
        _, content = streamed(WINDOW, job_id=key, target_idx=target)
        answer = orjson.loads(content)
        rows = answer["factor_snapshots"]
        assert rows == sorted(rows, key=lambda row: (row["candle_time"], row["factor_name"]))
        for candle in answer["window"]["kline"]:
            newest = {
                row["factor_name"]: row["snapshot"]
                for row in rows
                if row["candle_time"] <= candle["time"]
            }
            bare = {
                name: {"history": each["history"], "head": each["head"]}
                for name, each in newest.items()
                if each is not None
            }
            assert bare == framed(reads, series, candle["time"], 60)[2]
        assert all(
            row["snapshot"]["meta"]["candle_id"] == f"{SERIES}:{row['candle_time']}" for row in rows
        )


def test_catalog_and_checkpoints_are_those_of_the_contract(api, filled, builder):
    key = built(api, **SHORT)
    window = api.get(WINDOW, job_id=key, target_idx=30, factors="none").json()["window"]
    assert (window["window_index"], window["start_idx"], window["end_idx"]) == (1, 25, 50)
    assert [each["at_idx"] for each in window["draw_active_checkpoints"]] == [25, 32, 39, 46]
    first, last = window["kline"][0]["time"], window["kline"][-1]["time"]
    base, patch = window["draw_catalog_base"], window["draw_catalog_patch"]
    assert all(each["visible_time"] <= first for each in base)
    assert all(first < each["visible_time"] <= last for each in patch)
    for versions in (base, patch):
        order = [(each["visible_time"], each["version_id"]) for each in versions]
        assert order == sorted(order)
    for checkpoint in window["draw_active_checkpoints"]:
        assert checkpoint["active_ids"] == active_at(window, checkpoint["at_idx"])
    assert window["kline"][0] == {
        "time": first,
        "open": filled[-35].open,
        "high": filled[-35].high,
        "low": filled[-35].low,
        "close": filled[-35].close,
        "volume": 1.0,
    }


def test_status_tells_metadata_and_the_last_window(api, filled, asked):
    key = built(api, **SHORT)
    assert asked == [key]
    empty = {"metadata": None, "preload_window": None, "error": None}
    waiting = {"status": "building", "job_id": key, "cache_key": key} | empty
    assert api.get(STATUS, job_id=key).json() == waiting
    assert built(api, **SHORT) == key
    assert asked == [key], "a known build is not begun again"
    list(jobs.parts(key))
    done = api.get(STATUS, job_id=key, include_preload=1).json()
    meta = done["metadata"]
    assert done["status"] == "done"
    assert (meta["total_candles"], meta["window_size"], meta["snapshot_interval"]) == (60, 25, 7)
    assert meta["from_candle_time"] == filled[-60].candle_time
    assert meta["to_candle_time"] == filled[-1].candle_time
    schema = {each["factor_name"]: each for each in meta["factor_schema"]}
    assert list(schema) == sorted(spec.name for spec in factors.engine().factors)
    assert schema["pen"]["history_keys"] == ["confirmed"]
    assert done["preload_window"]["window_index"] == 2
    assert api.post(BUILD, {"series_id": SERIES, **SHORT}).json()["status"] == "done"


def test_key_is_that_of_the_contract():
    spec = PackageSpec("binance:futures:SOL/USDT:1m", 120, 2, 1, 5, 120, 0, 0)
    assert spec.cache_key == "5c1af6aea8a5dc195ff62719"


def test_key_of_the_contract_by_the_route(api, either_store, asked, recorded_factors):
    series = "binance:futures:SOL/USDT:1m"
    ingest([walk(2)[0], walk(2)[1]], series=series)
    given = {"window_candles": 2, "window_size": 1, "snapshot_interval": 1, "to_time": 150}
    answer = api.post(BUILD, {"series_id": series, **given}).json()
    assert answer == {
        "status": "building",
        "job_id": "5c1af6aea8a5dc195ff62719",
        "cache_key": "5c1af6aea8a5dc195ff62719",
    }


def test_refusals_of_build(api, in_memory, asked):
    assert refused(api.post(BUILD, {"series_id": SERIES})) == (404, "no_data", "replay.no_data")
    ingest(walk(150))
    assert refused(api.post(BUILD, {"series_id": SERIES, "window_candles": 151})) == (
        409,
        "coverage_missing",
        "replay.build.coverage_missing",
    )
    ingest([walk(151)[-1]], stages=[])
    assert refused(api.post(BUILD, {"series_id": SERIES, "window_candles": 5})) == (
        409,
        "ledger_out_of_sync:replay",
        "replay.build.ledger_out_of_sync",
    )
    for wrong in ({"window_candles": 5001}, {"window_size": 0}, {"snapshot_interval": 201}):
        assert api.post(BUILD, {"series_id": SERIES, **wrong}).status_code == 422
    assert api.post(BUILD, {"series_id": "nonsense"}).json()["code"] == "invalid_series_id"
    assert not asked


def test_refusals_of_reading(api, in_memory, asked):
    ingest(walk(150))
    unknown = "0" * 24
    assert refused(api.get(STATUS, job_id=unknown)) == (
        404,
        "not_found",
        "replay.status.not_found",
    )
    for key in (unknown, "../../etc/passwd"):
        answer = api.get(WINDOW, job_id=key, target_idx=0)
        assert refused(answer) == (404, "not_found", "replay.window.not_found")
    key = built(api, **SHORT)
    answer = api.get(WINDOW, job_id=key, target_idx=0)
    assert refused(answer) == (404, "not_found", "replay.package.not_found")
    list(jobs.parts(key))
    assert refused(api.get(WINDOW, job_id=key, target_idx=60)) == (
        422,
        "target_idx_out_of_range",
        "replay.window.target_idx_out_of_range",
    )


def test_switch_turns_packages_off(api, in_memory, switch):
    ingest(walk(150))
    switch(enable_replay_v1=False)
    for path, body in ((BUILD, SHORT), (ENSURE, {})):
        assert api.post(path, {"series_id": SERIES, **body}).json()["code"] == "not_found"
        assert api.post(path, {}).status_code == 422
    for path in (STATUS, WINDOW, COVERAGE):
        assert api.get(path, job_id="x", target_idx=0).json()["code"] == "not_found"
    assert api.post(PREPARE, {"series_id": SERIES}).status_code == 200
    switch(enable_replay_v1=True, enable_replay_ensure_coverage=False)
    assert refused(api.post(ENSURE, {"series_id": SERIES})) == (
        404,
        "not_found",
        "replay.coverage.disabled",
    )


def test_build_without_a_worker_is_refused_and_forgotten(api, in_memory, monkeypatch):
    ingest(walk(150))
    monkeypatch.setattr(replay_views, "request_build", lambda key: False)
    for _ in range(2):
        answer = api.post(BUILD, {"series_id": SERIES, **SHORT})
        assert (answer.status_code, answer.json()["code"]) == (503, "replay.build.unavailable")


def test_a_folder_that_cannot_be_written_is_named(api, in_memory, switch, tmp_path):
    ingest(walk(150))
    (tmp_path / "file").write_text("in the way")
    switch(artifacts_dir=str(tmp_path / "file"))
    jobs.artifacts.reset()
    answer = api.post(BUILD, {"series_id": SERIES, **SHORT})
    assert (answer.status_code, answer.json()["code"]) == (503, "replay.artifacts_unavailable")


def test_prepare_reports_both_ledgers(api, either_store):
    assert refused(api.post(PREPARE, {"series_id": SERIES})) == (
        404,
        "no_data",
        "replay_prepare.no_data",
    )
    ingest(walk(150))
    given = {"series_id": SERIES, "to_time": 170, "window_candles": 5}
    assert api.post(PREPARE, given).json() == {
        "ok": True,
        "series_id": SERIES,
        "requested_time": 170,
        "aligned_time": 120,
        "window_candles": 100,
        "factor_head_time": 9000,
        "overlay_head_time": 9000,
        "computed": False,
    }


def test_prepare_computes_what_the_ledgers_lack(api, either_store):
    ingest(walk(150), stages=[])
    answer = api.post(PREPARE, {"series_id": SERIES}).json()
    assert (answer["computed"], answer["overlay_head_time"]) == (True, 9000)
    assert not api.post(PREPARE, {"series_id": SERIES}).json()["computed"]


def test_prepare_without_the_stages_is_refused(api, in_memory, settings):
    settings.PIPELINE_STAGES = []
    ingest(walk(150))
    assert refused(api.post(PREPARE, {"series_id": SERIES})) == (
        409,
        "ledger_out_of_sync:factor",
        "replay_prepare.ledger_out_of_sync.factor",
    )


def test_coverage_of_what_is_stored_is_done(api, in_memory):
    ingest(walk(150))
    answer = api.post(ENSURE, {"series_id": SERIES, "target_candles": 150}).json()
    job = f"coverage_{SERIES}:9000:150"
    assert answer == {"status": "building", "job_id": job, "error": None}
    assert api.get(COVERAGE, job_id=job).json() == {
        "status": "done",
        "job_id": job,
        "candles_ready": 150,
        "required_candles": 150,
        "head_time": 9000,
        "error": None,
    }
    again = api.post(ENSURE, {"series_id": SERIES, "target_candles": 150}).json()
    assert again == {"status": "done", "job_id": job, "error": None}


def test_coverage_that_nothing_can_fetch_is_missing(api, in_memory):
    ingest(walk(150))
    given = {"series_id": SERIES, "target_candles": 200, "to_time": 9010}
    job = api.post(ENSURE, given).json()["job_id"]
    state = api.get(COVERAGE, job_id=job).json()
    assert (state["status"], state["error"]) == ("error", "coverage_missing")
    assert (state["candles_ready"], state["required_candles"]) == (150, 200)
    for unknown in (job + "0", "nonsense", "coverage_x:1:2"):
        answer = api.get(COVERAGE, job_id=unknown)
        assert refused(answer) == (404, "not_found", "replay.coverage.not_found")


@pytest.mark.parametrize(
    ("series", "fetched"),
    [
        (SERIES, (SERIES, 8700, 9000)),
        # Of a derived series the minutes of its candles.
        (SERIES.replace(":1m", ":5m"), (SERIES, 7800, 9240)),
    ],
)
def test_coverage_fetches_what_is_missing(api, in_memory, switch, monkeypatch, series, fetched):
    switch(enable_ccxt_backfill=True, enable_derived_timeframes=True)
    ingest(walk(10))
    asked = []
    monkeypatch.setattr(
        coverage.coverage,
        "request_backfill",
        lambda name, start, end: asked.append((str(name), start, end)),
    )
    monkeypatch.setattr(coverage.coverage, "is_requested", lambda *span: bool(asked))
    target = 6 if series == SERIES else 5
    body = {"series_id": series, "target_candles": target, "to_time": 9000}
    job = api.post(ENSURE, body).json()["job_id"]
    assert asked == [fetched]
    assert api.get(COVERAGE, job_id=job).json()["status"] == "building"
    assert api.post(ENSURE, body).json()["status"] == "building"
    assert asked == [fetched], "a known job is not begun again"


def test_a_revised_candle_makes_the_package_anew(api, filled, builder):
    key = built(api, **SHORT)
    before = api.get(WINDOW, job_id=key, target_idx=0, factors="none").json()["window"]["kline"]
    revised = filled[-60]._replace(volume=7.0)
    ingest([revised])
    again = built(api, **SHORT)
    window = api.get(WINDOW, job_id=again, target_idx=0, factors="none").json()["window"]
    assert before[0]["volume"] == 1.0
    assert window["kline"][0]["volume"] == 7.0


def test_window_is_compressed_for_those_who_accept_it(api, in_memory, builder):
    ingest(walk(150))
    key = built(api, **SHORT)
    plain, content = streamed(WINDOW, job_id=key, target_idx=0)
    packed, shorter = streamed(WINDOW, encoding="gzip", job_id=key, target_idx=0)
    assert gzip.decompress(shorter) == content
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert "Accept-Encoding" in plain.headers["Vary"]
