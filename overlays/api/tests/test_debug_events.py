"""Debug events of one process: each has the data that docs/debug-stream.md names."""

from __future__ import annotations

import re
from pathlib import Path

import orjson
import pytest

from market.api.tests.conftest import TOKEN
from market.debug_events import BEGINNING, debug_ring
from market.pipeline import STORE_STEP
from overlays.api.tests.drawn import AT_TIME, DELTA, LIVE, POLL, SERIES, walk
from overlays.replay.tests.asked import PREPARE

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
    (row,) = re.findall(rf"^\| `{re.escape(name)}` \| (.*) \|$", PAGE, re.MULTILINE)
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
    written = story["write.overlay.ingest_done"]["data"]
    assert written["cutoff_time"] <= written["up_to_candle_time"]
    assert written["db_changes"] >= written["marker_defs"] + written["polyline_defs"]


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
