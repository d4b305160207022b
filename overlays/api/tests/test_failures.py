"""A failing stage stores nothing of its batch; damaged drawings are repaired."""

from __future__ import annotations

import pytest
from django.db import connection

from factors.domain.engine import Engine
from market import runtime
from market.api.tests.asking import CLOSED, items
from market.domain.series import SeriesId
from overlays.api.tests.drawn import (
    DELTA,
    LIVE,
    POLL,
    REPAIR,
    SERIES,
    ingest,
    read,
    refused,
    walk,
)
from overlays.domain.renderer import OverlayEngine
from overlays.reads import Reads

both = pytest.mark.usefixtures("either_store", "small")


@pytest.fixture
def repairs(switch):
    switch(enable_dev_api=True, enable_read_repair_api=True)


def closed(candle):
    return {"series_id": SERIES, "candle": candle._asdict()}


def broken(*args, **kwargs):
    raise ArithmeticError


@both
@pytest.mark.parametrize(
    ("engine", "step"),
    [(Engine, "factor.ingest_closed"), (OverlayEngine, "overlay.ingest_closed")],
)
def test_failing_stage_leaves_no_candle(api, monkeypatch, engine, step):
    candles = walk(60)
    ingest(candles[:58])
    with monkeypatch.context() as patched:
        patched.setattr(engine, "step", broken)
        answer = api.post(CLOSED, closed(candles[58]))
    detail = f"ingest_pipeline_failed:{step}:{SERIES}"
    assert refused(answer) == (500, detail, "market.ingest_pipeline_failed")
    assert runtime.candle_store().state(SeriesId.parse(SERIES)).head == 60 * 58
    assert read(api, LIVE)["time"]["at_time"] == 60 * 58
    assert api.post(CLOSED, closed(candles[58])).status_code == 200
    assert read(api, LIVE)["time"]["aligned_time"] == 60 * 59


@both
def test_repair_is_behind_two_switches(api, switch):
    for dev, repair in ((True, False), (False, True)):
        switch(enable_dev_api=dev, enable_read_repair_api=repair)
        answer = api.post(REPAIR, {"series_id": SERIES})
        assert refused(answer) == (404, "not_found", "not_found")
        assert items(api.post(REPAIR, {})) == [("missing", ["body", "series_id"])]


@both
@pytest.mark.usefixtures("repairs")
def test_repair_wants_a_writer(api):
    answer = api.post(REPAIR, {"series_id": SERIES}, Authorization="")
    assert answer.status_code == 401
    answer = api.post(REPAIR, {"series_id": SERIES}, Authorization="Bearer no")
    assert answer.status_code == 401


@both
@pytest.mark.usefixtures("repairs")
@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, ("missing", ["body", "series_id"])),
        ({"series_id": ""}, ("string_too_short", ["body", "series_id"])),
        ({"series_id": SERIES, "to_time": -1}, ("greater_than_equal", ["body", "to_time"])),
        ({"series_id": SERIES, "to_time": 1.5}, ("int_from_float", ["body", "to_time"])),
        ({"series_id": SERIES, "to_time": True}, ("number_type", ["body", "to_time"])),
    ],
)
def test_wrong_repairs_are_named(api, body, wrong):
    assert wrong in items(api.post(REPAIR, body))


@both
@pytest.mark.usefixtures("repairs")
def test_repair_of_nothing_has_no_data(api):
    missing = (404, "no_data", "read_repair.no_data")
    assert refused(api.post(REPAIR, {"series_id": SERIES})) == missing
    ingest(walk(10))
    assert refused(api.post(REPAIR, {"series_id": SERIES, "to_time": 59})) == missing
    assert api.post(REPAIR, {"series_id": "abc"}).json()["code"] == "invalid_series_id"


@both
@pytest.mark.usefixtures("repairs")
def test_repair_draws_all_anew_under_new_numbers(api):
    ingest(walk(100))
    before = read(api, DELTA)
    answer = api.post(REPAIR, {"series_id": SERIES, "to_time": 3030})
    assert answer.json() == {
        "ok": True,
        "series_id": SERIES,
        "requested_time": 3030,
        "aligned_time": 3000,
        "factor_head_time": 6000,
        "overlay_head_time": 6000,
        "refreshed": True,
        "steps": [
            f"factor.ingest_closed:{SERIES}",
            f"overlay.ingest_closed:{SERIES}",
            "overlay.reset_series",
            "overlay.ingest_closed",
        ],
    }
    after = read(api, DELTA, cursor_version_id=before["next_cursor"]["version_id"])
    assert after["active_ids"] == before["active_ids"]
    assert [each | {"version_id": 0} for each in after["instruction_catalog_patch"]] == [
        each | {"version_id": 0} for each in before["instruction_catalog_patch"]
    ]


@both
@pytest.mark.usefixtures("repairs")
def test_repair_catches_up_what_was_stored_meanwhile(api):
    ingest(walk(50))
    ingest(walk(60), stages=[])
    assert api.post(REPAIR, {"series_id": SERIES}).json()["overlay_head_time"] == 3600
    assert read(api, LIVE)["time"]["aligned_time"] == 3600


@both
@pytest.mark.usefixtures("repairs")
def test_repair_that_fails_changes_nothing(api, monkeypatch):
    ingest(walk(50))
    before = read(api, LIVE)
    with monkeypatch.context() as patched:
        patched.setattr(OverlayEngine, "step", broken)
        status, detail, code = refused(api.post(REPAIR, {"series_id": SERIES}))
    assert (status, code) == (500, "read_repair.overlay_repair_failed")
    assert detail.startswith("overlay_repair_failed:")
    assert read(api, LIVE) == before


@both
@pytest.mark.usefixtures("repairs")
def test_repair_without_stages_stays_out_of_sync(api, settings):
    ingest(walk(50), stages=[])
    settings.PIPELINE_STAGES = []
    runtime.pipeline.reset()
    answer = refused(api.post(REPAIR, {"series_id": SERIES}))
    assert answer == (409, "ledger_out_of_sync:factor", "read_repair.ledger_out_of_sync.factor")
    settings.PIPELINE_STAGES = ["factors.stage.FactorStage"]
    runtime.pipeline.reset()
    answer = refused(api.post(REPAIR, {"series_id": SERIES}))
    assert answer == (409, "ledger_out_of_sync:overlay", "read_repair.ledger_out_of_sync.overlay")


@pytest.mark.usefixtures("on_postgres", "small", "repairs")
def test_damaged_drawings_are_noticed_and_repaired(api):
    ingest(walk(150))
    whole = read(api, DELTA)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM overlay_versions WHERE instruction_id LIKE 'zhongshu.dead%'")
        assert cursor.rowcount
    behind = (409, "ledger_out_of_sync:overlay", "draw_read.ledger_out_of_sync.overlay")
    assert refused(api.get(DELTA, series_id=SERIES)) == behind
    assert refused(api.get(LIVE, series_id=SERIES)) == behind
    assert refused(api.get(POLL, series_id=SERIES)) == behind
    assert api.get(DELTA, series_id=SERIES, cursor_version_id=1).status_code == 200
    assert api.post(REPAIR, {"series_id": SERIES}).status_code == 200
    assert read(api, DELTA)["active_ids"] == whole["active_ids"]


@both
def test_read_is_repeated_when_candles_are_revised_meanwhile(api, monkeypatch):
    candles = walk(80)
    ingest(candles)
    revised = candles[30]._replace(high=candles[30].high + 9)
    slices, left = Reads.slices, [revised]

    def overtaken(self, now, time, *, window):
        seen = slices(self, now, time, window=window)
        if left:
            ingest([left.pop()])
        return seen

    monkeypatch.setattr(Reads, "slices", overtaken)
    frame = read(api, LIVE)
    monkeypatch.undo()
    assert not left and frame == read(api, LIVE)


@both
def test_read_that_is_always_overtaken_is_out_of_sync(api, monkeypatch):
    candles = walk(80)
    ingest(candles)
    slices, count = Reads.slices, iter(range(1, 100))

    def overtaken(self, now, time, *, window):
        seen = slices(self, now, time, window=window)
        ingest([candles[30]._replace(high=candles[30].high + next(count))])
        return seen

    monkeypatch.setattr(Reads, "slices", overtaken)
    answer = refused(api.get(LIVE, series_id=SERIES))
    assert answer[:2] == (409, "ledger_out_of_sync:overlay")
