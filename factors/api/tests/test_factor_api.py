"""/api/factor/…: catalog, health, slices, on both stores."""

from __future__ import annotations

import pytest

from factors.domain.tests.recordings import flat
from market import blocking, runtime
from market.api.tests.asking import items, refusal
from market.domain.series import SeriesId
from market.pipeline import Pipeline
from tests.recordings import vector_json

SERIES = "binance:futures:BTC/USDT:1m"
SLICES = "/api/factor/slices"
WAVES = flat(*[100.0 + abs(each % 120 - 60) * (1 + each // 120) for each in range(600)])
END = WAVES[-1].candle_time

pytestmark = pytest.mark.usefixtures("either_store")


def ingest(candles, pipeline=None):
    chosen = pipeline or runtime.pipeline()
    return blocking.call(chosen.ingest, SeriesId.parse(SERIES), candles)


def slices(api, at_time, **more):
    return api.get(SLICES, series_id=SERIES, at_time=at_time, **more)


def test_catalog_is_the_contracts(api):
    body = api.get("/api/factor/catalog").json()
    recorded = vector_json("catalog.json")
    assert body["schema_version"] == recorded["schema_version"]
    assert [each for each in body["factors"] if each in recorded["factors"]] == recorded["factors"]


@pytest.mark.parametrize("path", ["/api/factor/health", SLICES])
def test_bad_series_is_refused(api, path):
    assert refusal(api.get(path, series_id="abc", at_time=1)) == (400, "invalid_series_id")


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ({}, ("missing", ["query", "at_time"])),
        ({"at_time": -1}, ("greater_than_equal", ["query", "at_time"])),
        ({"at_time": 1, "window_candles": 0}, ("greater_than_equal", ["query", "window_candles"])),
        ({"at_time": 1, "window_candles": 5001}, ("less_than_equal", ["query", "window_candles"])),
    ],
)
def test_bad_query_is_refused(api, query, error):
    assert error in items(api.get(SLICES, series_id=SERIES, **query))


def test_slices_before_the_first_candle_are_empty(api):
    ingest(WAVES[:5])
    assert slices(api, 59).json() == {
        "schema_version": 1,
        "series_id": SERIES,
        "at_time": 59,
        "candle_id": None,
        "factors": [],
        "snapshots": {},
    }


def test_slices_of_a_young_series_show_no_factor(api):
    ingest(WAVES[:1])
    body = slices(api, 119).json()
    assert (body["at_time"], body["candle_id"]) == (60, f"{SERIES}:60")
    assert body["factors"] == list(body["snapshots"])
    assert not {"pivot", "pen", "zhongshu", "anchor", "sr"} & set(body["factors"])


def test_slices_of_a_past_candle_are_what_was_live(api):
    live = {}
    for candle in WAVES:
        ingest([candle])
        if candle.candle_time % 1800 == 0:
            live[candle.candle_time] = slices(api, candle.candle_time + 59).json()
    assert {entry["key"] for entry in vector_json("catalog.json")["factors"]} <= set(
        live[END]["factors"]
    )
    assert {time: slices(api, time).json() for time in live} == live


def test_slices_know_the_window(api):
    ingest(WAVES)
    far, near = slices(api, END).json(), slices(api, END, window_candles=70).json()
    pens = [body["snapshots"]["pen"]["history"]["confirmed"] for body in (far, near)]
    assert 0 < len(pens[1]) < len(pens[0])
    assert near["snapshots"]["pen"]["head"] == far["snapshots"]["pen"]["head"]
    assert near["snapshots"]["pen"]["meta"] == {
        "series_id": SERIES,
        "epoch": 0,
        "at_time": END,
        "candle_id": f"{SERIES}:{END}",
        "factor_name": "pen",
    }


def test_ledger_behind_is_a_conflict(api):
    ingest(WAVES[:-1])
    ingest(WAVES[-1:], Pipeline(runtime.candle_store()))
    assert slices(api, END - 60).status_code == 200
    assert refusal(slices(api, END)) == (409, "factor_read.ledger_out_of_sync")
    health = api.get("/api/factor/health", series_id=SERIES).json()
    assert (health["store_head_time"], health["factor_head_time"]) == (END, END - 60)
    assert health["factor_delay_candles"] == 1


def test_ledger_of_candles_that_changed_is_a_conflict(api):
    ingest(WAVES)
    changed = WAVES[300]._replace(high=10_000.0)
    ingest([changed], Pipeline(runtime.candle_store()))
    assert slices(api, changed.candle_time - 60).status_code == 200
    assert refusal(slices(api, END)) == (409, "factor_read.ledger_out_of_sync")
    ingest([WAVES[-1]._replace(candle_time=END + 60)])
    assert slices(api, END).status_code == 200


def test_health_of_nothing(api):
    health = api.get("/api/factor/health", series_id="binance:futures:BTC/USDT:01m").json()
    assert (health["series_id"], health["status"]) == (SERIES, "gray")


def test_schema_describes_the_endpoints(api):
    paths = api.get("/api/schema/", format="json").json()["paths"]
    expected = {
        "/api/factor/catalog": {"200"},
        "/api/factor/events": {"200", "400", "409", "422", "503"},
        "/api/factor/features": {"200", "400", "409", "422", "503"},
        "/api/factor/health": {"200", "400", "422", "503"},
        SLICES: {"200", "400", "409", "422", "503"},
    }
    for path, statuses in expected.items():
        assert statuses <= set(paths[path]["get"]["responses"])
