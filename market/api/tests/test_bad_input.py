"""Input that means harm or makes no sense: a code each, never a 500, nothing stored."""

from __future__ import annotations

import orjson
import pytest

from market import blocking, runtime
from market.api.candle_pages import CandlePages
from market.api.tests.asking import BATCH, CANDLES, CLOSED, FORMING, SERIES, candle, items, refusal

pytestmark = pytest.mark.usefixtures("in_memory")

WHOLE = orjson.dumps({"series_id": SERIES, "candle": candle(60)})

NOT_JSON = {
    "empty object cut": b"{",
    "text": b"hello",
    "NaN": WHOLE.replace(b"2.0", b"NaN"),
    "Infinity": WHOLE.replace(b"2.0", b"Infinity"),
    "minus Infinity": WHOLE.replace(b"0.5", b"-Infinity"),
    "a number beyond a double": WHOLE.replace(b"2.0", b"1e400"),
    "name twice": WHOLE.replace(b'"close":1.5', b'"close":1.5,"close":1.6'),
    "binary": bytes(range(256)) * 20,
    "not UTF-8": WHOLE.replace(b"BTC", b"\xff\xfe"),
    "lone surrogate": WHOLE.replace(b"BTC", b"\\ud800"),
    "byte order mark": b"\xef\xbb\xbf" + WHOLE,
    "two documents": WHOLE + WHOLE,
    "deep nesting": b"[" * 100_000,
    "rather deep nesting": b"[" * 1_000 + b"]" * 1_000,
    "UTF-16": WHOLE.decode().encode("utf-16"),
}


@pytest.fixture(autouse=True)
def _nothing_stored(in_memory):
    yield
    assert blocking.call(runtime.candle_store().series) == []


@pytest.mark.parametrize("path", [CLOSED, FORMING, BATCH])
@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON)
def test_body_that_is_not_json_is_refused(api, path, body):
    assert refusal(api.post(path, body)) == (422, "validation_error")


@pytest.mark.parametrize("path", [CLOSED, FORMING])
def test_body_above_a_megabyte_is_refused(api, path):
    body = orjson.dumps({"series_id": "x" * 1_000_001, "candle": candle(60)})
    assert refusal(api.post(path, body)) == (413, "body_too_large")


def test_body_of_nearly_a_megabyte_is_read_and_its_echo_bounded(api):
    body = orjson.dumps({"series_id": 1, "candle": ["x" * 999_000]})
    response = api.post(CLOSED, body)
    assert refusal(response) == (422, "validation_error")
    assert len(response.content) < 2_000


def test_batch_above_its_bound_is_refused(api):
    assert refusal(api.post(BATCH, b" " * 8_000_001)) == (413, "body_too_large")


def test_batch_of_wrong_candles_has_a_bounded_answer(api):
    response = api.post(BATCH, {"series_id": SERIES, "candles": [{}] * 20_000})
    assert len(items(response)) == 100


@pytest.mark.parametrize("body", [None, 1, "text", [], [1], True, {"candle": 3}])
@pytest.mark.parametrize("path", [CLOSED, BATCH])
def test_json_of_another_shape_is_refused(api, path, body):
    assert refusal(api.post(path, orjson.dumps(body))) == (422, "validation_error")


@pytest.mark.parametrize("field", list(candle(60)))
@pytest.mark.parametrize("value", [None, "x", "nan", "inf", "", [], {}, True, "0x10", "\0"])
def test_field_that_is_no_number_is_named(api, field, value):
    response = api.post(CLOSED, {"series_id": SERIES, "candle": candle(60) | {field: value}})
    ((_, loc),) = items(response)
    assert loc == ["body", "candle", field]


def test_fraction_as_time_is_refused(api):
    response = api.post(CLOSED, {"series_id": SERIES, "candle": candle(60.5)})
    assert items(response) == [("int_from_float", ["body", "candle", "candle_time"])]


@pytest.mark.parametrize(
    "series_id",
    [
        "",
        "abc",
        "a::b:1m",
        "foo:1m",
        "a:b:c:1x",
        "a:b:c/d:99999999999d",
        "a:b:\0c:1m",
        "a:b:c:" * 99,
    ],
)
@pytest.mark.parametrize("path", [CLOSED, FORMING])
def test_bad_series_id_is_refused(api, path, series_id):
    response = api.post(path, {"series_id": series_id, "candle": candle(60)})
    assert refusal(response) == (400, "invalid_series_id")


def test_body_of_another_type_is_refused(api):
    response = api.http.post(CLOSED, {"a": "b"}, headers={"Authorization": f"Bearer {api.token}"})
    assert refusal(response) == (415, "unsupported_media_type")


def test_strange_content_type_is_refused(api):
    headers = {"Authorization": f"Bearer {api.token}"}
    for kind in ("", ";", "application/json/x", "multipart/form-data", "\x7f"):
        response = api.http.generic("POST", CLOSED, WHOLE, content_type=kind, headers=headers)
        assert refusal(response) == (415, "unsupported_media_type")


@pytest.mark.parametrize("accept", ["text/html", "image/*;q=0.1", "x", "application/json; q=0"])
def test_accept_header_changes_nothing(api, accept):
    response = api.http.get(CANDLES, {"series_id": SERIES}, headers={"Accept": accept})
    assert response["Content-Type"] == "application/json"
    assert api.http.get(CANDLES, {"series_id": SERIES, "format": "xml"}).status_code == 200


def test_unknown_path_and_method_are_json(api):
    assert refusal(api.get("/api/market/nothing")) == (404, "not_found")
    assert refusal(api.get("/api/nothing/at/all")) == (404, "not_found")
    for method in ("put", "patch", "delete", "trace"):
        assert refusal(getattr(api.http, method)(CANDLES)) == (405, "method_not_allowed")
    assert refusal(api.get(CLOSED)) == (405, "method_not_allowed")


def test_errors_before_any_view_are_json_with_debug_on_too(api, settings):
    settings.DEBUG = True
    assert refusal(api.get("/api/market/nothing")) == (404, "not_found")
    assert refusal(api.get("/api/nothing/at/all")) == (404, "not_found")
    foreign = api.http.get(CANDLES, {"series_id": SERIES}, headers={"Host": "evil.example"})
    assert refusal(foreign) == (400, "bad_request")
    # What is no error stays: a forgotten slash, and Django's page outside the API.
    assert api.http.get("/api/docs").status_code == 301
    elsewhere = api.http.get("/nothing")
    assert (elsewhere.status_code, elsewhere["Content-Type"][:9]) == (404, "text/html")


def test_foreign_host_is_refused_with_a_code(api):
    response = api.http.get(CANDLES, {"series_id": SERIES}, headers={"Host": "evil.example"})
    assert refusal(response) == (400, "bad_request")


def test_too_many_parameters_are_refused_with_a_code(api):
    query = "&".join(f"a{number}=1" for number in range(2_000))
    assert refusal(api.http.get(f"{CANDLES}?{query}")) == (400, "bad_request")


@pytest.mark.parametrize("text", ["%00", "%ED%A0%80", "%FF%FE", "a%00b:c:d/e:1m", "%F0%9F%92%A9"])
def test_strange_text_in_the_query_is_a_bad_series_id(api, text):
    assert refusal(api.http.get(f"{CANDLES}?series_id={text}")) == (400, "invalid_series_id")


def test_unexpected_failure_is_json_without_its_text(api, monkeypatch):
    def broken(pages, query, *, gzip):
        raise KeyError("secret")

    monkeypatch.setattr(CandlePages, "read", broken)
    response = api.get(CANDLES, series_id=SERIES)
    assert refusal(response) == (500, "internal_error")
    assert b"secret" not in response.content


def test_store_that_does_not_answer_is_503(api, monkeypatch):
    def broken(pages, query, *, gzip):
        raise TimeoutError

    monkeypatch.setattr(CandlePages, "read", broken)
    assert refusal(api.get(CANDLES, series_id=SERIES)) == (503, "store_unavailable")
