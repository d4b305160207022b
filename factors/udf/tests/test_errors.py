"""Every error below /udf/ is one that a chart reads, wherever in the process it comes from."""

from __future__ import annotations

import gzip
from dataclasses import replace

import orjson
import pytest
from django.core.asgi import get_asgi_application

from factors.udf.errors import UdfErrors
from market.api.asgi import respond
from market.api.tests.asking import ask
from trade_canvas.edge import stack


def answering(status, body, *, content_type=b"application/json"):
    async def application(scope, receive, send):
        headers = [(b"content-type", content_type), (b"content-length", b"%d" % len(body))]
        await respond(send, status, [*headers, (b"x-request-id", b"7")], body)

    return UdfErrors(application)


async def test_error_has_what_a_chart_reads():
    body = orjson.dumps({"detail": "Busy", "code": "too_busy"})
    answer = await ask(answering(503, body), "/udf/symbols")
    assert (answer.status, answer.headers["x-request-id"]) == (503, "7")
    assert answer.headers["content-length"] == str(len(answer.body))
    assert orjson.loads(answer.body) == {
        "s": "error",
        "errmsg": "Busy",
        "detail": "Busy",
        "code": "too_busy",
    }


async def test_validation_error_is_one_text():
    items = [{"loc": ["query", "to"], "msg": "Field required", "type": "missing"}]
    body = orjson.dumps({"detail": items, "code": "validation_error"})
    answer = await ask(answering(422, body), "/below/udf/history")
    assert orjson.loads(answer.body)["errmsg"] == "query.to: Field required"


@pytest.mark.parametrize("body", [b"<h1>Not Found</h1>", b"", b"[1]"])
async def test_page_of_an_error_becomes_one(body):
    answer = await ask(answering(404, body, content_type=b"text/html"), "/udf/quotes")
    assert answer.headers["content-type"] == "application/json"
    assert orjson.loads(answer.body)["s"] == "error"


@pytest.mark.parametrize(("path", "status"), [("/udf/config", 200), ("/api/market/health", 404)])
async def test_other_answers_stay(path, status):
    assert (await ask(answering(status, b"{}"), path)).body == b"{}"


async def test_error_in_parts_is_whole():
    async def application(scope, receive, send):
        await send({"type": "http.response.start", "status": 500, "headers": []})
        for part, more in ((b'{"detail":', True), (b'"x","code":"y"}', False)):
            await send({"type": "http.response.body", "body": part, "more_body": more})

    answer = await ask(UdfErrors(application), "/udf/time")
    assert orjson.loads(answer.body)["errmsg"] == "x"


@pytest.mark.usefixtures("in_memory")
@pytest.mark.parametrize("path", ["/udf/symbols", "/udf/quotes", "/udf/history"])
async def test_whole_application_answers_so(path, settings):
    settings.SWITCHES = replace(settings.SWITCHES, enable_udf=True)
    body = orjson.loads((await ask(stack.build(get_asgi_application()), path)).body)
    assert body["s"] == "error" and body["errmsg"] and body["code"]


async def test_compressed_error_is_read_too():
    packed = gzip.compress(orjson.dumps({"detail": "long", "code": "validation_error"}))

    async def application(scope, receive, send):
        headers = [(b"content-encoding", b"gzip"), (b"content-length", b"%d" % len(packed))]
        await respond(send, 422, headers, packed)

    answer = await ask(UdfErrors(application), "/udf/search")
    assert "content-encoding" not in answer.headers
    assert orjson.loads(answer.body)["errmsg"] == "long"
