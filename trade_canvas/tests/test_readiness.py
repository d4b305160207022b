"""What /readyz states, how often it asks, and how long it waits."""

from __future__ import annotations

import threading
from contextlib import closing

import pytest
import redis

from lab.waiting import wait_until
from trade_canvas import embedded, readiness
from trade_canvas.tests.test_embedded import reachable_folder


def test_a_crowd_costs_one_attempt():
    attempts = []
    check = readiness.Check(lambda: attempts.append(1))
    for _ in range(100):
        assert check.outcome() == "ok"
    # More than one only if a hundred calls took longer than an outcome is kept.
    assert len(attempts) < 5


def test_outcome_is_tried_again_when_it_is_old(monkeypatch):
    monkeypatch.setattr(readiness, "FRESH_S", -1.0)
    outcomes = iter([OSError("secret of somebody"), None])

    def attempt():
        if error := next(outcomes):
            raise error

    check = readiness.Check(attempt)
    assert [check.outcome(), check.outcome()] == ["failed: OSError", "ok"]


def test_attempt_that_hangs_holds_no_thread(monkeypatch):
    monkeypatch.setattr(readiness, "LIMIT_S", 0.01)
    ended, begun = threading.Event(), []

    def hang():
        begun.append(1)
        ended.wait()

    check = readiness.Check(hang)
    try:
        for _ in range(20):
            assert check.outcome() == "failed: TimeoutError"
        assert len(begun) == 1
    finally:
        ended.set()
    assert wait_until(lambda: check.outcome() == "ok", what="the attempt to end")


@pytest.fixture
def valkey(settings):
    with reachable_folder() as folder:
        server = embedded.start_valkey(folder)
        settings.REDIS_URL = server.url
        with closing(redis.Redis.from_url(server.url)) as client:
            yield client
        server.stop()


def test_full_valkey_answers_ping_and_is_not_ready(valkey, monkeypatch):
    monkeypatch.setattr(readiness, "FRESH_S", -1.0)
    monkeypatch.setitem(readiness.ATTEMPTS, "database", lambda: None)
    monkeypatch.setitem(readiness.ATTEMPTS, "migrations", lambda: None)
    ready = dict.fromkeys(readiness.ATTEMPTS, "ok")
    assert readiness.outcomes() == ready
    valkey.config_set("maxmemory", 1)
    assert valkey.ping()
    assert readiness.outcomes() == ready | {
        "bus": "failed: OutOfMemoryError",
        "queue": "failed: OutOfMemoryError",
    }
    valkey.config_set("maxmemory", 0)
    assert readiness.outcomes() == ready
