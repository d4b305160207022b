"""Whitelist, health, ingest state and series health."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from market.api.tests.asking import SERIES, items, refusal, store
from market.domain.lease_store import BackfillProgress, JobReport
from market.domain.series import SeriesId
from market.ingest.gap_ranges import GapState
from market.ingest.lease_store_memory import MemoryLeaseStore
from market.ingest.tests.gaps import record_gap
from market.models import WhitelistedSeries
from market.tests.builders import MINUTE

HEALTH = "/api/market/health"
STATE = "/api/market/debug/ingest_state"
EXTENT = "/api/market/debug/series_health"
WHITELIST = "/api/market/whitelist"
FIVE = "binance:futures:BTC/USDT:5m"


@pytest.fixture
def lease_store(in_memory, monkeypatch):
    """The lease store that the health endpoint reads."""
    made = MemoryLeaseStore()
    monkeypatch.setattr("market.api.health.lease_store", lambda: made)
    return made


def test_whitelist_shows_enabled_rows_in_their_order(api, on_postgres):
    for series_id, enabled in ((FIVE, True), (SERIES, True), ("sim:spot:A/B:1m", False)):
        WhitelistedSeries.objects.create(series_id=series_id, enabled=enabled)
    assert api.get(WHITELIST).json() == {"series_ids": [FIVE, SERIES]}


def test_whitelist_is_read_from_the_file_without_database(api, in_memory, switch, tmp_path):
    path = tmp_path / "whitelist.json"
    path.write_text(json.dumps({"series_ids": [f" {SERIES} ", "", 3, FIVE, SERIES]}))
    switch(whitelist_path=str(path))
    assert api.get(WHITELIST).json() == {"series_ids": [SERIES, FIVE]}
    switch(whitelist_path=str(tmp_path / "missing.json"))
    assert api.get(WHITELIST).json() == {"series_ids": []}


def test_health_has_the_written_shape(api, lease_store):
    store([160, 460])
    assert api.get(HEALTH, series_id=SERIES, now_time=500).content == (
        b'{"series_id":"binance:futures:BTC/USDT:1m","timeframe_seconds":60,"now_time":500,'
        b'"expected_latest_closed_time":420,"head_time":460,"lag_seconds":40,"missing_seconds":0,'
        b'"missing_candles":0,"status":"yellow","status_reason":"head_ahead_of_closed_window",'
        b'"backfill":{"state":"idle","progress_pct":100.0,"started_at":null,"updated_at":null,'
        b'"reason":null,"note":null,"error":null,"recent":false,"start_missing_seconds":0,'
        b'"start_missing_candles":0,"current_missing_seconds":0,"current_missing_candles":0}}'
    )


def test_health_names_a_halted_market(api, lease_store, monkeypatch):
    monkeypatch.setattr("market.ingest.halted.lease_store", lambda: lease_store)
    store([420])
    halted = JobReport(state="running", started_at=1.0, is_halted=True)
    lease_store.report({SeriesId.parse(SERIES): halted}, ttl=30)
    answer = api.get(HEALTH, series_id=SERIES, now_time=500).json()
    assert (answer["is_halted"], answer["status"]) == (True, "green")
    assert "is_halted" not in api.get(HEALTH, series_id=FIVE, now_time=500).json()


RUNNING = BackfillProgress(
    state="running", started_at=400, updated_at=450, start_missing_seconds=360
)


@pytest.mark.parametrize(
    ("head", "progress", "status", "reason"),
    [
        (None, None, "red", "missing_head"),
        (420, None, "green", "up_to_date"),
        (480, RUNNING, "yellow", "head_ahead_of_closed_window"),
        (240, None, "red", "lagging_no_recent_backfill"),
        (240, RUNNING, "yellow", "backfill_running"),
        (240, replace(RUNNING, state="succeeded"), "yellow", "backfill_recent"),
        (240, replace(RUNNING, state="succeeded", updated_at=1), "red", None),
        (240, replace(RUNNING, state="failed"), "red", "lagging_no_recent_backfill"),
    ],
)
def test_status_light(api, lease_store, head, progress, status, reason):
    if head is not None:
        store([head])
    if progress is not None:
        lease_store.set_progress(SeriesId.parse(SERIES), progress)
    found = api.get(HEALTH, series_id=SERIES, now_time=500).json()
    assert (found["status"], found["status_reason"]) == (
        status,
        reason or "lagging_no_recent_backfill",
    )


def test_progress_is_a_percentage(api, lease_store):
    store([240])
    lease_store.set_progress(SeriesId.parse(SERIES), RUNNING)
    shown = api.get(HEALTH, series_id=SERIES, now_time=500).json()["backfill"]
    assert shown["progress_pct"] == 50.0
    assert (shown["start_missing_candles"], shown["current_missing_candles"]) == (6, 3)


def test_health_is_gated_by_either_switch(api, lease_store, switch):
    switch(enable_debug_api=False, enable_kline_health_v2=False)
    assert refusal(api.get(HEALTH, series_id=SERIES)) == (404, "not_found")
    switch(enable_kline_health_v2=True)
    assert api.get(HEALTH, series_id=SERIES).status_code == 200


@pytest.mark.parametrize("path", [HEALTH, EXTENT])
def test_bad_series_id_is_refused(api, lease_store, path):
    assert refusal(api.get(path, series_id="abc")) == (400, "invalid_series_id")


def test_wrong_numbers_are_named(api, lease_store):
    assert items(api.get(HEALTH, series_id=SERIES, now_time=-1)) == [
        ("greater_than_equal", ["query", "now_time"])
    ]
    assert items(api.get(EXTENT, series_id=SERIES, max_recent_gaps=51)) == [
        ("less_than_equal", ["query", "max_recent_gaps"])
    ]
    assert api.get(HEALTH, series_id=SERIES, now_time=10**40).status_code == 200


@pytest.mark.parametrize("path", [STATE, EXTENT])
def test_debug_answers_are_gated(api, lease_store, switch, path):
    switch(enable_debug_api=False)
    assert refusal(api.get(path, series_id=SERIES)) == (404, "not_found")


def test_ingest_state_has_the_written_fields(api, lease_store, monkeypatch):
    state = api.get(STATE).json()
    assert list(state) == [
        "jobs",
        "whitelist_series_ids",
        "ondemand_max_jobs",
        "whitelist_ingest_enabled",
        "ingest_role_guard_enabled",
        "ingest_role",
        "ingest_jobs_enabled",
        "loop_guardrail_enabled",
    ]


@pytest.mark.usefixtures("either_store")
def test_series_health_counts_the_gaps(api):
    store([0, 100, 160, 220, 280, 333, 400, 460])
    record_gap(MINUTE, 60, 60, GapState.UNSERVED, reason="too old for the exchange")
    found = api.get(EXTENT, series_id=SERIES).json()
    now = found.pop("now_time")
    assert found == {
        "series_id": SERIES,
        "timeframe_seconds": 60,
        "first_time": 0,
        "head_time": 460,
        "lag_seconds": now - 460,
        "candle_count": 8,
        "gap_count": 2,
        "max_gap_seconds": 100,
        "recent_gaps": [
            {
                "prev_time": 333,
                "next_time": 400,
                "delta_seconds": 67,
                "missing_candles": 0,
                "noted": [],
            },
            {
                "prev_time": 0,
                "next_time": 100,
                "delta_seconds": 100,
                "missing_candles": 0,
                "noted": [
                    {
                        "from_time": 60,
                        "to_time": 60,
                        "state": "unserved",
                        "reason": "too old for the exchange",
                    }
                ],
            },
        ],
        "base_series_id": SERIES,
        "base_bucket_completeness": [],
    }


@pytest.mark.usefixtures("either_store")
def test_series_health_of_an_empty_series(api):
    found = api.get(EXTENT, series_id=FIVE).json()
    assert (found["head_time"], found["candle_count"], found["recent_gaps"]) == (None, 0, [])


@pytest.mark.usefixtures("either_store")
def test_series_health_shows_how_complete_the_minutes_are(api):
    store([0, 60, 120, 180, 240, 300, 420, 480])
    found = api.get(EXTENT, series_id=FIVE, recent_base_buckets=2).json()
    assert found["base_bucket_completeness"] == [
        {"bucket_open_time": 0, "expected_minutes": 5, "actual_minutes": 5, "missing_minutes": 0},
        {"bucket_open_time": 300, "expected_minutes": 5, "actual_minutes": 3, "missing_minutes": 2},
    ]
