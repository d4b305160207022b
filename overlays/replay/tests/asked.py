"""Asking for packages, and reading them back as a client of the written contract does."""

from __future__ import annotations

from asgiref.sync import async_to_sync
from django.test import AsyncClient

from lab.replay import states_of
from overlays.api.tests.drawn import SERIES

PREPARE = "/api/replay/prepare"
ENSURE = "/api/replay/ensure_coverage"
COVERAGE = "/api/replay/coverage_status"
BUILD = "/api/replay/build"
STATUS = "/api/replay/status"
WINDOW = "/api/replay/window"


def built(api, **given):
    """The key of a package that was built."""
    answer = api.post(BUILD, {"series_id": SERIES, **given})
    assert answer.status_code == 200, answer.content
    body = answer.json()
    assert body["job_id"] == body["cache_key"]
    return body["job_id"]


def streamed(path, *, encoding="identity", **query):
    """A streamed answer, and its whole body."""

    async def ask():
        response = await AsyncClient().get(path, query, headers={"accept-encoding": encoding})
        if not response.streaming:
            return response, response.content
        return response, b"".join([chunk async for chunk in response.streaming_content])

    return async_to_sync(ask)()


class Player:
    """The state at each bar of a package, by the rules of the contract."""

    def __init__(self, api, key):
        self.api, self.key = api, key
        meta = self.get(STATUS)["metadata"]
        self.total, self.size = meta["total_candles"], meta["window_size"]
        self.meta = meta

    def get(self, path, **query):
        response = self.api.get(path, job_id=self.key, **query)
        assert response.status_code == 200, response.content
        return response.json()

    def states(self, *, window):
        """The time and state at each bar, definitions, points and slices."""
        for target in range(0, self.total, self.size):
            found = self.get(WINDOW, target_idx=target, factors="changes")
            for candle, state in states_of(found, window * self.meta["timeframe_s"]):
                yield candle["time"], state
