"""Debug events of one process: each has the data that docs/debug-stream.md names."""

from __future__ import annotations

import re
from pathlib import Path

import orjson
import pytest

from market.api.tests.conftest import TOKEN
from market.debug_events import BEGINNING, debug_ring
from market.domain.series import SeriesId
from market.pipeline import STORE_STEP
from market.runtime import candle_store
from overlays.api.tests.drawn import AT_TIME, DELTA, LIVE, POLL, SERIES, read, walk
from overlays.api.tests.drawn import ingest as ingest_alone
from overlays.domain.instruction import WITHDRAWN, Change
from overlays.domain.integrity import Check
from overlays.replay.tests.asked import PREPARE
from overlays.runtime import overlay_ledger

PAGE = (Path(__file__).parents[3] / "docs" / "debug-stream.md").read_text()
ONE = "/api/market/ingest/candle_closed"
MANY = "/api/dev/market/ingest/candles_closed_batch"
WRITER = {"Authorization": f"Bearer {TOKEN}"}

pytestmark = pytest.mark.usefixtures("in_memory", "small")


def events():
    return [orjson.loads(each.event) for each in debug_ring().after(BEGINNING)]


def ingest(api, candles):
    body = {"series_id": SERIES, "candles": [each._asdict() for each in candles]}
    assert api.post(MANY, body, **WRITER).status_code == 200


@pytest.fixture
def story(api, switch):
    """Candles are stored, one by one and together, and read in every way."""
    switch(enable_debug_api=True, enable_dev_api=True)
    *many, one = walk(60)
    ingest(api, many)
    body = {"series_id": SERIES, "candle": one._asdict()}
    assert api.post(ONE, body, **WRITER).status_code == 200
    assert api.get("/api/market/candles", series_id=SERIES).status_code == 200
    for path in (LIVE, POLL, DELTA):
        assert api.get(path, series_id=SERIES).status_code == 200
    assert api.get(AT_TIME, series_id=SERIES, at_time=one.candle_time).status_code == 200
    assert api.post(PREPARE, {"series_id": SERIES}).status_code == 200
    return {each["event"]: each for each in events()}


def documented(name):
    """The data that the page names for an event."""
    (row,) = re.findall(rf"^\| `{re.escape(name)}`[^|]* \| (.*) \|$", PAGE, re.MULTILINE)
    return set(re.findall(r"`([a-z_]+)`", row))


@pytest.mark.parametrize(
    "name",
    [
        "write.factor.ingest_done",
        "write.overlay.ingest_done",
        "read.http.market_candles",
        "read.http.draw_delta",
        "read.http.world_delta_poll",
        "read.http.replay_prepare",
    ],
)
def test_event_has_the_data_that_the_page_names(story, name):
    event = story[name]
    assert set(event["data"]) == documented(name)
    assert event["series_id"] == SERIES
    assert event["pipe"] == name.partition(".")[0]


def test_ingest_names_its_steps(story):
    for name in ("ingest_candle_closed", "ingest_candles_closed_batch"):
        done = story[f"write.http.{name}_done"]["data"]
        steps = [each["name"] for each in done["steps"]]
        assert steps == [STORE_STEP, "factor.ingest_closed", "overlay.ingest_closed", "commit"]
        assert all(each["ok"] for each in done["steps"])
        total = sum(each["duration_ms"] for each in done["steps"])
        assert total <= done["pipeline_duration_ms"] <= done["duration_ms"]


def test_drawing_names_what_it_wrote(story, api):
    written = story["write.overlay.ingest_done"]["data"]
    assert written["cutoff_time"] <= written["up_to_candle_time"]
    assert written["db_changes"] >= written["marker_defs"] + written["polyline_defs"]
    drawn = read(api, DELTA)["instruction_catalog_patch"]
    *_, line = [each for each in drawn if each["instruction_id"] == "pen.confirmed"]
    assert written["pen_points"] == len(line["definition"]["points"]) > 2


def spoil_zone():
    """Withdraw a line of a dead zone behind the stage's back; return its id."""
    series = SeriesId.parse(SERIES)
    with candle_store().writing(series) as writer:
        ledger = overlay_ledger().writing(writer)
        at = ledger.position()
        shown = overlay_ledger().versions(series).newest(at.head_time, cutoff=0)
        zone = next(each for each in shown if each.instruction_id.startswith("zhongshu.dead"))
        change = Change(zone.instruction_id, zone.kind, at.head_time, WITHDRAWN)
        assert ledger.append(at, at, [[change]])
    return zone.instruction_id


def test_refused_read_names_its_checks(api, switch):
    ingest_alone(walk(150))
    damaged = spoil_zone()
    switch(enable_debug_api=True)
    assert api.get(DELTA, series_id=SERIES).status_code == 409
    refused = events()[-1]
    assert refused["event"] == "read.http.draw_delta.overlay_out_of_sync"
    assert set(refused["data"]) == documented("….overlay_out_of_sync") - set(Check._fields)
    assert refused["data"]["strict_mode"] is True
    assert refused["data"]["checks"] == [
        {
            "plugin": "zhongshu.signature",
            "should_rebuild": True,
            "reason": f"{damaged} is missing",
        },
        {"plugin": "anchor.current.start", "should_rebuild": False, "reason": ""},
    ]


@pytest.mark.parametrize(
    ("stored", "plugin", "reason"),
    [
        (walk(51), "factor.position", "reaches 3000, not 3060"),
        ([walk(50)[20]._replace(volume=9.0)], "factor.position", "is of epoch 0, candles of 1"),
    ],
)
def test_read_of_a_ledger_that_is_behind_need_not_be_redrawn(api, switch, stored, plugin, reason):
    ingest_alone(walk(50))
    ingest_alone(stored, stages=[])
    switch(enable_debug_api=True)
    assert api.get(AT_TIME, series_id=SERIES, at_time=60 * 51).status_code == 409
    refused = events()[-1]
    assert refused["event"] == "read.http.world_frame_at_time.overlay_out_of_sync"
    assert refused["data"]["checks"] == [
        {"plugin": plugin, "should_rebuild": False, "reason": reason}
    ]


def test_failed_ingest_names_its_error(api, switch, monkeypatch):
    switch(enable_debug_api=True)

    def fail(*_):
        raise ValueError("no room")

    monkeypatch.setattr("overlays.stage.OverlayStage.apply", fail)
    (one,) = walk(1)
    assert (
        api.post(ONE, {"series_id": SERIES, "candle": one._asdict()}, **WRITER).status_code == 500
    )
    failed = events()[-1]
    assert (failed["event"], failed["level"]) == ("write.http.ingest_candle_closed_error", "error")
    assert failed["data"]["series_id"] == SERIES
    assert failed["data"]["step"] == "overlay.ingest_closed"
    assert "no room" in failed["data"]["error"]


def test_nothing_is_collected_with_the_switch_off(api, switch, monkeypatch):
    switch(enable_dev_api=True, enable_debug_api=False)
    monkeypatch.setattr("market.pipeline.StepTimes", lambda: pytest.fail("steps were collected"))
    monkeypatch.setattr("factors.stage._done", lambda *_: pytest.fail("data was made"))
    monkeypatch.setattr(
        "overlays.stage.OverlayStage._done", lambda *_: pytest.fail("data was made")
    )
    ingest(api, walk(5))
    assert events() == []
