"""Log lines: their fields, and the secrets that they must not contain."""

from __future__ import annotations

import json
import logging
import sys
from types import SimpleNamespace

import pytest
from celery.beat import SchedulingError
from redis.exceptions import RedisError

from market.domain.series import SeriesId
from market.log_context import REQUEST_ID, about, as_fields
from trade_canvas.edge.request_ids import RequestIds, adopt_id, attach_id, clear_id
from trade_canvas.logs import (
    JsonFormatter,
    LineFormatter,
    Redactor,
    ShortenBusErrors,
    form_of,
    secrets_of,
)

SERIES = SeriesId.parse("sim:spot:BTC/USDT:1m")
SECRET = "hunter2-hunter2"


def record(message, *arguments, error=None):
    exc_info = (type(error), error, error.__traceback__) if error else None
    return logging.LogRecord(
        "market.live", logging.WARNING, __file__, 1, message, arguments, exc_info
    )


def test_json_line_has_request_id_and_series():
    token = REQUEST_ID.set("r-1")
    try:
        with about(SERIES):
            fields = json.loads(JsonFormatter().format(record("lost %d", 3)))
    finally:
        REQUEST_ID.reset(token)
    assert fields["time"].endswith("Z") and fields["process"] > 0
    assert {key: fields[key] for key in ("level", "logger", "message")} == {
        "level": "WARNING",
        "logger": "market.live",
        "message": "lost 3",
    }
    assert (fields["request_id"], fields["series_id"]) == ("r-1", str(SERIES))
    assert as_fields() == {}


def test_json_line_with_a_traceback_is_one_line():
    try:
        raise ValueError(f"password={SECRET}\nand more")
    except ValueError:
        line = JsonFormatter().format(record("failed", error=sys.exc_info()[1]))
    assert "\n" not in line and SECRET not in line
    assert "Traceback" in json.loads(line)["exception"]


def test_line_for_people_has_the_series_after_the_text():
    with about(SERIES):
        line = LineFormatter().format(record("lost"))
    assert line.endswith(f"WARNING market.live: lost [series_id={SERIES}]")
    assert LineFormatter().format(record("lost")).endswith("market.live: lost")


@pytest.mark.parametrize(
    "text",
    [
        f"can't reach postgres://somebody:{SECRET}@db/name",
        f"can't reach redis://:{SECRET}@bus:6379/0",
        f"Authorization: Bearer {SECRET}",
        f"{{'token': '{SECRET}'}}",
        f"apiKey={SECRET}&limit=3",
        f"the password is {SECRET}",
    ],
)
def test_secrets_are_replaced(text):
    clean = Redactor([SECRET])(text)
    assert SECRET not in clean and "***" in clean


@pytest.mark.parametrize(
    "text", ["http://127.0.0.1:8000/a@b is up", "GET /candles?limit=5", "fencing token 7 is old"]
)
def test_other_text_is_unchanged(text):
    assert Redactor(["", "abc"])(text) == text


def test_passwords_of_addresses_are_secrets():
    secrets = secrets_of("a-token", None, f"redis://:{SECRET}@bus/0")
    assert SECRET in secrets and "a-token" in secrets and None not in secrets


@pytest.mark.parametrize(("text", "form"), [("json", "json"), ("JSON ", "json"), ("", "line")])
def test_format_is_named_by_the_environment(text, form):
    assert form_of(text) == form


async def answered(headers, kind="http"):
    """The id that an application saw, and the headers it answered."""
    shared = [(b"content-type", b"text/plain")]
    seen, sent = [], []

    async def application(scope, receive, send):
        seen.append(REQUEST_ID.get())
        await send({"type": "http.response.start", "status": 200, "headers": shared})

    async def send(message):
        sent.append(message)

    await RequestIds(application)({"type": kind, "headers": headers}, None, send)
    assert REQUEST_ID.get() == "" and len(shared) == 1
    return seen[0], dict(sent[0]["headers"])


async def test_given_request_id_is_returned():
    seen, headers = await answered([(b"x-request-id", b"abc-1")])
    assert (seen, headers[b"x-request-id"]) == ("abc-1", b"abc-1")


@pytest.mark.parametrize("given", [b"", b"a b", b"x" * 65, b"line\nbreak"])
async def test_invalid_request_id_is_replaced(given):
    seen, headers = await answered([(b"x-request-id", given)])
    assert len(seen) == 16 and headers[b"x-request-id"] == seen.encode()


async def test_send_of_a_websocket_is_passed_on_unwrapped():
    seen, headers = await answered([], kind="websocket")
    assert len(seen) == 16 and b"x-request-id" not in headers


def test_request_id_is_passed_to_a_task():
    headers = {}
    token = REQUEST_ID.set("r-2")
    attach_id(headers=headers)
    REQUEST_ID.reset(token)
    adopt_id("task-1", SimpleNamespace(request=SimpleNamespace(headers=headers)))
    assert REQUEST_ID.get() == "r-2"
    adopt_id("task-1", SimpleNamespace(request=SimpleNamespace(headers=None)))
    assert REQUEST_ID.get() == "task-1"
    clear_id()
    assert REQUEST_ID.get() == ""


@pytest.mark.parametrize(
    ("name", "message", "is_kept"),
    [
        ("uvicorn.error", "Invalid HTTP request received.", False),
        ("uvicorn.error", "Invalid UTF-8 sequence received from client.", False),
        ("uvicorn.error", "Exception in ASGI application\n", True),
        ("django.request", "Not Found: /wp-admin", False),
        ("django.security.DisallowedHost", "Invalid HTTP_HOST header: 'x'", False),
    ],
)
def test_line_about_a_malformed_request_is_dropped(name, message, is_kept, caplog):
    with caplog.at_level(logging.NOTSET, logger=""):
        logging.getLogger(name).warning(message)
    assert (message in caplog.messages) == is_kept


@pytest.mark.parametrize(
    ("reason", "is_short"), [(RedisError("full"), True), (KeyError("a task"), False)]
)
def test_task_that_beat_could_not_send_is_one_line_if_the_bus_is_the_reason(reason, is_short):
    try:
        try:
            raise reason
        except Exception as error:
            raise SchedulingError(f"can't send: {error}") from error
    except SchedulingError as error:
        made = record("Message Error: %s\n%s", error, ["a", "stack"], error=error)
    assert ShortenBusErrors().filter(made)
    text = LineFormatter().format(made)
    assert text.splitlines()[0].endswith(f"can't send: {reason}")
    assert "stack" not in text
    assert (len(text.splitlines()) == 1) == is_short
