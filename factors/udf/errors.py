"""Errors as charts that speak UDF read them.

A chart reads the body of an answer, never its status: without ``"s": "error"`` it would take an
error for a symbol or for the configuration.
"""

from __future__ import annotations

import gzip
from typing import Any

import orjson

from market.api.asgi import Application, HeaderList, Message, Receive, Scope, Send
from market.api.error_codes import ErrorCode

FIRST_ERROR = 400
NOT_FOUND = 404
CODING = b"content-encoding"
# Anywhere in the path: below a prefix, which is removed further inside.
PLACE = "/udf/"


class UdfErrors:
    """ASGI middleware: adds what a chart looks for to every error below /udf/."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, with errors of the whole application replaced."""
        if scope["type"] == "http" and PLACE in scope["path"]:
            send = _Errors(send)
        await self._application(scope, receive, send)


class _Errors:
    """Holds the answer back while it is an error."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message = {}
        self._body: list[bytes] = []

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] >= FIRST_ERROR:
            self._start = message
            return
        if not self._start or message["type"] != "http.response.body":
            await self._send(message)
            return
        self._body.append(message.get("body", b""))
        if not message.get("more_body"):
            start, self._start = self._start, {}
            content = error_body(_plain(start["headers"], self._body), start["status"])
            headers = _headers(start["headers"], len(content))
            await self._send({**start, "headers": headers})
            await self._send({"type": "http.response.body", "body": content})


def error_body(content: bytes, status: int) -> bytes:
    """An error's body with what a chart looks for; what is no error of ours becomes one."""
    try:
        body: Any = orjson.loads(content)
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        code = ErrorCode.NOT_FOUND if status == NOT_FOUND else ErrorCode.INTERNAL_ERROR
        body = {"detail": code, "code": code}
    return orjson.dumps({"s": "error", "errmsg": _message(body.get("detail"))} | body)


def _message(detail: Any) -> str:
    """A detail as one text: validation errors by place and message."""
    if not isinstance(detail, list):
        return str(detail)
    return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in detail)


def _plain(headers: HeaderList, parts: list[bytes]) -> bytes:
    """A body without its content coding; Django compresses long errors."""
    body = b"".join(parts)
    is_packed = (b"gzip" in value for name, value in headers if name.lower() == CODING)
    return gzip.decompress(body) if any(is_packed) else body


def _headers(headers: HeaderList, length: int) -> HeaderList:
    replaced = (b"content-length", b"content-type", CODING)
    kept = [(name, value) for name, value in headers if name.lower() not in replaced]
    return [
        *kept,
        (b"content-type", b"application/json"),
        (b"content-length", str(length).encode()),
    ]
