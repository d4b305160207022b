"""Ways to fill the store and to read answers, shared by the tests of the API."""

from __future__ import annotations

import asyncio
import zlib
from typing import NamedTuple

import orjson
import psycopg2
from django.core.asgi import get_asgi_application
from django.test import Client

from market import blocking, runtime
from market.api.asgi import respond
from market.domain.candle import Candle
from market.domain.series import SeriesId

SERIES = "binance:futures:BTC/USDT:1m"
CANDLES = "/api/market/candles"
CLOSED = "/api/market/ingest/candle_closed"
FORMING = "/api/market/ingest/candle_forming"
BATCH = "/api/dev/market/ingest/candles_closed_batch"


def candle(time, close=1.5):
    return {
        "candle_time": time,
        "open": 1.0,
        "high": max(2.0, close),
        "low": min(0.5, close),
        "close": close,
        "volume": 10.0,
    }


def store(times, *, series=SERIES, close=1.5):
    """Put candles with these open times into the store."""
    candles = [Candle(**candle(time, close)) for time in times]
    return blocking.call(runtime.pipeline().ingest, SeriesId.parse(series), candles)


def refusal(response):
    """Status and code of an error answer, which must be JSON with a detail."""
    body = orjson.loads(response.content)
    assert set(body) == {"detail", "code"}, body
    return response.status_code, body["code"]


def items(response):
    """Type and place of everything a validation answer complains of."""
    assert response.status_code == 422, response.content
    return [(item["type"], item["loc"]) for item in response.json()["detail"]]


class Answer(NamedTuple):
    """An answer of an ASGI application."""

    status: int
    headers: dict[str, str]
    body: bytes

    def text(self):
        """The body without its content coding, checked to the last byte."""
        if self.headers.get("content-encoding") != "gzip":
            return self.body
        member = zlib.decompressobj(wbits=31)
        plain = member.decompress(self.body)
        assert member.eof and not member.unused_data
        return plain


class DownReader:
    """A database that can't be reached."""

    async def states(self, series):
        raise psycopg2.OperationalError("down")

    def close(self):
        pass


class CountedDjango:
    """Django's application; counts what a front asks it and what it passes on.

    A front asks once per caller, without a query and without a body.
    """

    def __init__(self):
        self.application = get_asgi_application()
        self.asked = []
        self.passed = []
        self.status = None

    async def __call__(self, scope, receive, send):
        is_question = scope["method"] == "OPTIONS" or not scope["query_string"]
        is_question &= b"content-length" not in dict(scope["headers"])
        (self.asked if is_question else self.passed).append(scope)
        if self.status:
            await respond(send, self.status, [])
        else:
            await self.application(scope, receive, send)


async def ask(application, path, *, query="", method="GET", headers=None, body=b"", chunks=None):
    """Send a request to an ASGI application and collect its answer."""
    incoming = chunks if chunks is not None else [body]
    sent = {"status": 0, "headers": {}, "body": b""}

    async def receive():
        if incoming:
            part = incoming.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(incoming)}
        await forever()

    async def send(message):
        if message["type"] == "http.response.start":
            sent["status"] = message["status"]
            sent["headers"] = {k.decode().lower(): v.decode() for k, v in message["headers"]}
        else:
            sent["body"] += message.get("body", b"")

    await application(scope(path, query, method, headers or {}), receive, send)
    return Answer(**sent)


async def forever():
    await asyncio.Event().wait()


def scope(path, query, method, headers):
    given = {"host": "localhost"} | headers
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query if isinstance(query, bytes) else query.encode(),
        "root_path": "",
        "scheme": "http",
        "headers": [(k.lower().encode(), v.encode()) for k, v in given.items()],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 80),
    }


class ApiClient:
    """Sends requests with the ingest token."""

    def __init__(self, token):
        self.http = Client(raise_request_exception=False)
        self.token = token

    def get(self, path, **query):
        return self.http.get(path, query)

    def post(self, path, body, **headers):
        given = {"Authorization": f"Bearer {self.token}"} | headers
        return self.http.post(path, body, content_type="application/json", headers=given)
