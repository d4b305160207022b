"""Compression of the API's answers."""

from __future__ import annotations

import gzip
import json

import pytest
from django.http import HttpResponse
from django.test import RequestFactory

from trade_canvas.middleware import MIN_GZIP_BYTES, JsonGzip

LONG = json.dumps(["candle"] * 500).encode()
SHORT = b"x" * (MIN_GZIP_BYTES - 1)


def answered(content, *, accepts="gzip", content_type="application/json", **headers):
    response = HttpResponse(content, content_type=content_type, headers=headers)
    request = RequestFactory().get("/api/x", headers={"accept-encoding": accepts})
    return JsonGzip(lambda _: response)(request)


@pytest.mark.parametrize("content_type", ["application/json", "application/vnd.oai.openapi"])
def test_long_answer_is_compressed_for_a_client_that_accepts_it(content_type):
    answer = answered(LONG, accepts="br, gzip;q=0.5", content_type=content_type)
    assert (answer["Content-Encoding"], answer["Vary"]) == ("gzip", "Accept-Encoding")
    assert gzip.decompress(answer.content) == LONG
    assert int(answer["Content-Length"]) == len(answer.content) < len(LONG) / 10
    assert answer.content == answered(LONG, content_type=content_type).content


@pytest.mark.parametrize("accepts", ["", "br", "gzip;q=0"])
def test_other_clients_get_it_plain(accepts):
    answer = answered(LONG, accepts=accepts)
    assert (answer.content, answer["Vary"]) == (LONG, "Accept-Encoding")
    assert "Content-Encoding" not in answer


@pytest.mark.parametrize(
    "given",
    [
        {"content": SHORT},
        {"content": LONG, "content_type": "text/html"},
        {"content": LONG, "Content-Encoding": "br"},
    ],
    ids=["short", "page", "compressed"],
)
def test_other_answers_stay_as_they_are(given):
    answer = answered(**given)
    assert answer.content == given["content"]
    assert "Vary" not in answer


def test_catalog_is_compressed(client):
    answer = client.get("/api/factor/catalog", headers={"accept-encoding": "gzip"})
    assert answer["Content-Encoding"] == "gzip"
    assert gzip.decompress(answer.content) == client.get("/api/factor/catalog").content
