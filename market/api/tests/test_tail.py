"""Requests to ingest for newer candles after a read."""

from __future__ import annotations

import threading

import pytest

from lab.waiting import patience
from market.api import tail
from market.api.tail import TailRequests
from market.api.tests.asking import CANDLES, SERIES
from market.tests.builders import MINUTE


class Ingest:
    """Records the requests."""

    def __init__(self):
        self.asked = []
        self.came = threading.Semaphore(0)
        self.failure = None

    def request(self, series, candles):
        self.asked.append((str(series), candles))
        self.came.release()
        if self.failure:
            raise self.failure


@pytest.fixture
def ingest():
    return Ingest()


@pytest.fixture
def read(in_memory, switch, ingest, api, monkeypatch):
    """Reads the newest candles with the switch on."""
    switch(enable_market_auto_tail_backfill=True, market_auto_tail_backfill_max_candles=100)
    monkeypatch.setattr(tail, "request_tail", ingest.request)
    return lambda **query: api.get(CANDLES, series_id=SERIES, **query)


def test_read_of_the_newest_requests_the_tail_up_to_the_cap(read, ingest):
    assert read(limit=5_000).status_code == 200
    assert ingest.came.acquire(timeout=patience(5))
    assert ingest.asked == [(SERIES, 100)]


def test_read_after_a_time_requests_nothing(read, ingest):
    read(since=5)
    read(limit=7)
    assert ingest.came.acquire(timeout=patience(5))
    assert ingest.asked == [(SERIES, 7)]


def test_failure_of_ingest_does_not_reach_the_reader(read, ingest):
    ingest.failure = RuntimeError("no worker")
    assert read().status_code == 200
    assert ingest.came.acquire(timeout=patience(5))


def test_nothing_is_requested_with_the_switch_off(read, ingest, switch):
    switch(enable_market_auto_tail_backfill=False)
    read()
    switch(enable_market_auto_tail_backfill=True)
    read(limit=3)
    assert ingest.came.acquire(timeout=patience(5))
    assert ingest.asked == [(SERIES, 3)]


def test_one_request_at_a_time_and_none_within_the_cool_down(ingest):
    now = [0.0]
    requests = TailRequests(ingest.request, clock=lambda: now[0])
    assert requests.begin(MINUTE)
    assert not requests.begin(MINUTE)
    requests.perform(MINUTE, 5)
    assert not requests.begin(MINUTE)
    now[0] = 2.0
    assert requests.begin(MINUTE)
