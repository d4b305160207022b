"""Another name of a series: refused with the canonical id, unless candles are stored under it."""

from __future__ import annotations

import orjson
import pytest

from market import blocking, runtime
from market.api.tests.asking import BATCH, CANDLES, CLOSED, FORMING, candle, store

pytestmark = pytest.mark.usefixtures("in_memory")

ALIAS = "binance:futures:BTC/USDT:USDT:60m"
CANONICAL = "binance:futures:BTC/USDT:1h"
READS = {
    CANDLES: {},
    "/api/market/health": {},
    "/api/market/history": {},
    "/api/market/debug/series_health": {},
    "/api/factor/health": {},
    "/api/factor/slices": {"at_time": 7200},
    "/api/draw/delta": {},
    "/api/frame/live": {},
    "/api/frame/at_time": {"at_time": 7200},
    "/api/delta/poll": {},
    "/api/replay/stream": {"from": 3600},
}


def is_refused(response):
    body = orjson.loads(response.content)
    return (response.status_code, body.get("code"), body.get("canonical_series_id")) == (
        400,
        "series_alias",
        CANONICAL,
    )


@pytest.mark.parametrize("path", READS)
def test_reads_refuse_another_name_with_the_canonical_one(api, switch, path):
    switch(enable_compact_history=True, enable_debug_api=True)
    assert is_refused(api.get(path, series_id=ALIAS, **READS[path]))


@pytest.mark.parametrize("path", READS)
def test_candles_stored_under_another_name_are_read_as_before(api, switch, path):
    switch(enable_compact_history=True, enable_debug_api=True)
    store([3600, 7200], series=ALIAS)
    response = api.get(path, series_id=ALIAS, **READS[path])
    assert response.status_code == 200, response.content
    if path == CANDLES:
        assert response.json()["series_id"] == ALIAS
        assert [each["candle_time"] for each in response.json()["candles"]] == [3600, 7200]


@pytest.mark.parametrize("path", [CLOSED, FORMING, BATCH])
def test_writes_refuse_another_name_even_where_candles_are_stored(api, path):
    store([3600], series=ALIAS)
    body = {"series_id": ALIAS, "candle": candle(7200), "candles": [candle(7200)]}
    assert is_refused(api.post(path, orjson.dumps(body)))
    stored = blocking.call(runtime.candle_store().series)
    assert [(str(each.series), each.head) for each in stored] == [(ALIAS, 3600)]


def test_refusal_is_explained_in_chinese(api):
    response = api.http.get(CANDLES, {"series_id": ALIAS}, headers={"Accept-Language": "zh-CN"})
    assert is_refused(response)
    assert CANONICAL in response.json()["detail"]
    assert "another name" not in response.json()["detail"]
