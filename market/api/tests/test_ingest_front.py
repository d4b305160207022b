"""Closed candles in front of Django: the same answers, and the same refusals."""

from __future__ import annotations

import asyncio

import orjson
import pytest
from channels.layers import get_channel_layer

from lab.waiting import patience
from market import blocking, runtime
from market.api.front import Front
from market.api.tests.asking import CLOSED, SERIES, CountedDjango, ask, candle
from market.bus.messages import decode, group_of
from market.committer import Committer
from market.domain.series import SeriesId
from market.pipeline import Pipeline

pytestmark = pytest.mark.usefixtures("either_store")

SERIES_ID = SeriesId.parse(SERIES)


class Writer:
    """Posts candles through the middleware."""

    def __init__(self, token):
        self.django = CountedDjango()
        self.path = Front(self.django)
        self.token = token

    async def post(self, time, *, body=None, chunks=None, **headers):
        if body is None:
            body = orjson.dumps({"series_id": SERIES, "candle": candle(time)})
        given = {
            "authorization": f"Bearer {self.token}",
            "content-type": "application/json",
            "content-length": str(len(body) if chunks is None else sum(map(len, chunks))),
        }
        headers = given | {name.replace("_", "-"): value for name, value in headers.items()}
        return await ask(
            self.path, CLOSED, method="POST", headers=headers, body=body, chunks=chunks
        )


@pytest.fixture
async def writer(api):
    made = Writer(api.token)
    assert (await made.post(60)).status == 200
    yield made
    made.path.close()


async def times():
    return [c.candle_time for c in await blocking.run(runtime.candle_store().newest, SERIES_ID, 9)]


async def test_candle_is_taken_without_django(writer):
    around = await writer.post(120)
    assert (len(writer.django.asked), writer.django.passed) == (1, [])
    through = await writer.post(120, cookie="a=b")
    assert len(writer.django.passed) == 1
    assert around == through
    assert orjson.loads(around.body) == {"ok": True, "series_id": SERIES, "candle_time": 120}
    assert await times() == [60, 120]


async def test_candle_is_published(writer):
    layer = get_channel_layer()
    channel = await layer.new_channel()
    await layer.group_add(group_of(SERIES_ID), channel)
    await writer.post(120)
    message = decode(await layer.receive(channel))
    assert (message.predecessor, message.candles[0].candle_time) == (60, 120)


async def test_body_in_pieces_is_put_together(writer):
    body = orjson.dumps({"series_id": SERIES, "candle": candle(120)})
    answer = await writer.post(120, chunks=[body[:10], body[10:20], body[20:]])
    assert (answer.status, writer.django.passed) == (200, [])


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        ({"authorization": "Bearer wrong"}, 401, "invalid_token"),
        ({"authorization": ""}, 401, "not_authenticated"),
        ({"host": "evil.example"}, 400, "bad_request"),
        ({"content_type": "text/plain"}, 415, "unsupported_media_type"),
        ({"body": b"{"}, 422, "validation_error"),
        ({"body": b" " * 1_000_001}, 413, "body_too_large"),
        ({"body": b'{"series_id":"abc"}'}, 422, "validation_error"),
    ],
)
async def test_refusals_are_those_of_django(writer, request_, status, code):
    answer = await writer.post(120, **request_)
    assert (answer.status, orjson.loads(answer.body)["code"]) == (status, code)
    assert len(writer.django.passed) == 1
    assert await times() == [60]


@pytest.mark.parametrize("header", ["origin", "cookie"])
async def test_browser_requests_go_to_django(writer, header):
    assert (await writer.post(120, **{header: "http://localhost:5173"})).status == 200
    assert len(writer.django.passed) == 1


async def test_failing_step_is_named_and_nothing_stored(writer, monkeypatch):
    class Failing:
        name = "factor.ingest_closed"

        def apply(self, writer, change):
            raise RuntimeError("broken")

    broken = Pipeline(runtime.candle_store(), [Failing()])
    monkeypatch.setattr("market.api.ingest.committer", lambda: Committer(broken))
    answer = await writer.post(120)
    assert answer.status == 500
    assert orjson.loads(answer.body)["code"] == "market.ingest_pipeline_failed"
    assert writer.django.passed == []
    assert await times() == [60]


async def test_client_that_disconnects_early_writes_nothing(writer):
    incoming = [
        {"type": "http.request", "body": b'{"series_id":', "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive():
        return incoming.pop(0)

    async def send(message):
        raise AssertionError("the client is gone")

    async with asyncio.timeout(patience(10)):
        await writer.path(await scope_of(writer), receive, send)
    assert await times() == [60]


async def scope_of(writer):
    seen = []

    async def keep(scope, receive, send):
        seen.append(scope)

    await ask(
        keep,
        CLOSED,
        method="POST",
        headers={
            "authorization": f"Bearer {writer.token}",
            "content-type": "application/json",
            "content-length": "500",
        },
    )
    return seen[0]
