"""Every read answers byte for byte the same from memory and from PostgreSQL."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from market import singletons
from market.api.tests.asking import SERIES, store

FIVE = SERIES.replace(":1m", ":5m")
ODD = (0.1 + 0.2, 1e-300, 1e300, 5e-324, 123456789.123456789, 1 / 3, 100.0, 2**53 + 1.0)

READS = [
    f"/api/market/candles?series_id={SERIES}",
    f"/api/market/candles?series_id={SERIES}&limit=3",
    f"/api/market/candles?series_id={SERIES}&since=60&limit=4",
    f"/api/market/candles?series_id={SERIES}&since=100000",
    f"/api/market/candles?series_id={FIVE}",
    "/api/market/candles?series_id=sim:spot:NO/NE:1s&since=0",
    f"/api/market/health?series_id={SERIES}&now_time=1000",
    f"/api/market/health?series_id={FIVE}&now_time=1000",
    f"/api/market/debug/series_health?series_id={SERIES}&max_recent_gaps=50",
    f"/api/market/debug/series_health?series_id={FIVE}",
    "/api/market/whitelist",
    "/api/market/debug/ingest_state",
    "/api/market/candles?series_id=abc",
    "/api/market/candles",
]


@pytest.fixture
def one_after_the_other(transactional_db, fresh_process, switch, tmp_path):
    """A function that gives the answers of one store."""

    def answers(*, in_database):
        singletons.reset()
        switch(enable_pg_store=in_database, whitelist_path=str(tmp_path / "none.json"))
        fill()
        return {path: answer(path) for path in READS}

    return answers


def fill():
    for position, close in enumerate(ODD):
        store([60 + 60 * position], close=close)
    store([3_000, 3_660, 0])
    store([120], close=1.25)
    store([0, 300], series=FIVE)


def answer(path):
    response = Client(raise_request_exception=False).get(path)
    # The clock shows in one answer.
    body = re.sub(rb'"(now_time|lag_seconds)":\d+', b"", response.content)
    # The two stores are other generations.
    headers = {name.lower(): each for name, each in response.headers.items()}
    headers |= dict.fromkeys(headers.keys() & {"content-length", "etag", "x-series-generation"})
    return response.status_code, headers, body


def test_answers_are_equal(one_after_the_other):
    memory = one_after_the_other(in_database=False)
    database = one_after_the_other(in_database=True)
    for path in READS:
        assert memory[path] == database[path]
    assert b"0.30000000000000004" in database[READS[0]][2]
