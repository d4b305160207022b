"""Draw deltas, frames and polls over HTTP, on both stores."""

from __future__ import annotations

import pytest

from factors.domain.tests.installed import FACTORS
from market.api.tests.asking import items
from overlays.api.tests.drawn import (
    AT_TIME,
    DELTA,
    LIVE,
    POLL,
    SERIES,
    ingest,
    read,
    refused,
    walk,
)

pytestmark = pytest.mark.usefixtures("either_store", "small")

OVERLAY_BEHIND = (
    409,
    "ledger_out_of_sync:overlay",
    "draw_read.ledger_out_of_sync.overlay",
)
FACTOR_BEHIND = (409, "ledger_out_of_sync:factor", "factor_read.ledger_out_of_sync")
NO_DATA = (404, "no_data", "world_read.no_data")
NO_OVERLAY = (404, "no_overlay", "world_read.no_overlay")
ONLY_FACTORS = ["factors.stage.FactorStage"]


def test_empty_series_has_nothing_to_draw(api):
    assert read(api, DELTA, cursor_version_id=7) == {
        "schema_version": 1,
        "series_id": SERIES,
        "to_candle_id": None,
        "to_candle_time": None,
        "active_ids": [],
        "instruction_catalog_patch": [],
        "series_points": {},
        "next_cursor": {"version_id": 7, "point_time": None},
    }
    assert refused(api.get(LIVE, series_id=SERIES)) == NO_DATA
    assert refused(api.get(AT_TIME, series_id=SERIES, at_time=60)) == NO_DATA
    assert read(api, POLL, after_id=7) == {
        "schema_version": 1,
        "series_id": SERIES,
        "records": [],
        "next_cursor": {"id": 7},
    }


def test_frame_holds_slices_and_drawings_of_one_candle(api):
    ingest(walk())
    frame = read(api, LIVE)
    head = f"{SERIES}:9000"
    assert list(frame) == ["schema_version", "series_id", "time", "factor_slices", "draw_state"]
    assert frame["time"] == {"at_time": 9000, "aligned_time": 9000, "candle_id": head}
    assert frame["factor_slices"]["candle_id"] == frame["draw_state"]["to_candle_id"] == head
    assert frame["factor_slices"]["factors"] == list(frame["factor_slices"]["snapshots"])
    assert set(frame["factor_slices"]["factors"]) <= {spec.name for spec in FACTORS}
    assert frame["draw_state"] == read(api, DELTA)
    active = frame["draw_state"]["active_ids"]
    assert active == sorted(active) and len(active) > 20


def test_delta_carries_what_is_behind_the_cursor(api):
    ingest(walk(100))
    first = read(api, DELTA)
    cursor = first["next_cursor"]["version_id"]
    ingest(walk(110))
    second = read(api, DELTA, cursor_version_id=cursor)
    numbers = [each["version_id"] for each in second["instruction_catalog_patch"]]
    assert numbers == sorted(numbers) and numbers[0] > cursor
    # Points of lines have numbers, too.
    reached = second["next_cursor"]["version_id"]
    assert reached >= numbers[-1]
    again = read(api, DELTA, cursor_version_id=reached)
    assert again["instruction_catalog_patch"] == []
    assert again["active_ids"] == second["active_ids"]


def test_times_between_candles_mean_the_candle_before(api):
    ingest(walk(100))
    frame = read(api, AT_TIME, at_time=3059)
    assert frame["time"] == {
        "at_time": 3059,
        "aligned_time": 3000,
        "candle_id": f"{SERIES}:3000",
    }
    assert frame["draw_state"] == read(api, DELTA, at_time=3000)
    assert refused(api.get(AT_TIME, series_id=SERIES, at_time=59)) == NO_DATA
    assert read(api, DELTA, at_time=59)["to_candle_time"] is None


def test_poll_answers_once_for_each_candle(api, switch):
    switch(pivot_window_major=50, pivot_window_minor=5)
    candles = walk(140)
    ingest(candles[:100])
    first = read(api, POLL)
    (record,) = first["records"]
    assert list(record) == [
        "id",
        "series_id",
        "to_candle_id",
        "to_candle_time",
        "draw_delta",
        "factor_slices",
    ]
    after = first["next_cursor"]["id"]
    assert record["id"] == after > record["draw_delta"]["next_cursor"]["version_id"]
    quiet = 0
    for candle in candles[100:]:
        assert read(api, POLL, after_id=after)["records"] == []
        ingest([candle])
        answer = read(api, POLL, after_id=after)
        (record,) = answer["records"]
        assert record["to_candle_time"] == candle.candle_time
        assert record["factor_slices"]["at_time"] == candle.candle_time
        assert answer["next_cursor"]["id"] > after
        quiet += not record["draw_delta"]["instruction_catalog_patch"]
        after = answer["next_cursor"]["id"]
    assert quiet > 0


def test_candles_without_drawings_are_out_of_sync(api):
    ingest(walk(50), stages=[])
    assert refused(api.get(LIVE, series_id=SERIES)) == NO_OVERLAY
    assert refused(api.get(DELTA, series_id=SERIES)) == OVERLAY_BEHIND
    assert refused(api.get(POLL, series_id=SERIES)) == OVERLAY_BEHIND
    assert refused(api.get(AT_TIME, series_id=SERIES, at_time=3000)) == FACTOR_BEHIND
    ingest(walk(51), stages=ONLY_FACTORS)
    assert refused(api.get(LIVE, series_id=SERIES)) == NO_OVERLAY
    assert refused(api.get(AT_TIME, series_id=SERIES, at_time=3000)) == OVERLAY_BEHIND


def test_live_frame_keeps_to_what_is_drawn(api):
    ingest(walk(50))
    ingest(walk(52), stages=[])
    frame = read(api, LIVE)
    assert frame["time"]["at_time"] == 3120
    assert frame["time"]["aligned_time"] == 3000
    assert refused(api.get(DELTA, series_id=SERIES, cursor_version_id=1)) == OVERLAY_BEHIND
    assert refused(api.get(AT_TIME, series_id=SERIES, at_time=3060)) == FACTOR_BEHIND
    assert read(api, DELTA, at_time=3000)["to_candle_time"] == 3000
    ingest(walk(53))
    assert read(api, LIVE)["time"]["aligned_time"] == 3180


def test_drawings_of_other_candles_are_out_of_sync(api):
    candles = walk(50)
    ingest(candles)
    revised = candles[20]._replace(high=candles[20].high + 9)
    ingest([revised], stages=[])
    assert refused(api.get(LIVE, series_id=SERIES)) == FACTOR_BEHIND
    assert refused(api.get(DELTA, series_id=SERIES, cursor_version_id=1)) == OVERLAY_BEHIND
    ingest(walk(51)[50:])
    assert read(api, LIVE)["time"]["aligned_time"] == 3060


@pytest.mark.parametrize(
    ("path", "query", "wrong"),
    [
        (DELTA, {}, ("missing", ["query", "series_id"])),
        (DELTA, {"series_id": ""}, ("string_too_short", ["query", "series_id"])),
        (DELTA, {"cursor_version_id": -1}, ("greater_than_equal", ["query", "cursor_version_id"])),
        (DELTA, {"cursor_version_id": "x"}, ("int_parsing", ["query", "cursor_version_id"])),
        (DELTA, {"window_candles": 0}, ("greater_than_equal", ["query", "window_candles"])),
        (DELTA, {"window_candles": 5001}, ("less_than_equal", ["query", "window_candles"])),
        (DELTA, {"at_time": -1}, ("greater_than_equal", ["query", "at_time"])),
        (LIVE, {"window_candles": "x"}, ("int_parsing", ["query", "window_candles"])),
        (AT_TIME, {}, ("missing", ["query", "at_time"])),
        (AT_TIME, {"at_time": 1.5}, ("int_parsing", ["query", "at_time"])),
        (POLL, {"after_id": -1}, ("greater_than_equal", ["query", "after_id"])),
        (POLL, {"limit": 0}, ("greater_than_equal", ["query", "limit"])),
        (POLL, {"limit": 5001}, ("less_than_equal", ["query", "limit"])),
    ],
)
def test_wrong_queries_are_named(api, path, query, wrong):
    given = query if wrong == ("missing", ["query", "series_id"]) else {"series_id": SERIES} | query
    assert wrong in items(api.get(path, **given))


@pytest.mark.parametrize("path", [DELTA, LIVE, f"{AT_TIME}?at_time=0", POLL])
def test_bad_series_is_refused(api, path):
    response = api.get(path, series_id="abc", at_time=1)
    assert (response.status_code, response.json()["code"]) == (400, "invalid_series_id")


@pytest.mark.parametrize("number", [2**62, 2**63, 10**40])
def test_numbers_beyond_every_bound_are_answered(api, number):
    ingest(walk(50))
    assert read(api, DELTA, cursor_version_id=number)["instruction_catalog_patch"] == []
    assert read(api, POLL, after_id=number)["records"] == []
    assert read(api, AT_TIME, at_time=number)["time"]["aligned_time"] == 3000
