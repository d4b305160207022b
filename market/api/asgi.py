"""Types and helpers of ASGI that the middlewares in front of Django share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

import orjson

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

HeaderList = list[tuple[bytes, bytes]]

# The key of the scope's "state" under which the server's protocol puts the connection.
CONNECTION = "connection"


async def respond(send: Send, status: int, headers: HeaderList, body: bytes = b"") -> None:
    """Send a whole answer."""
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def respond_json(
    send: Send, status: int, body: object, *headers: tuple[bytes, bytes]
) -> None:
    """Send a whole JSON response with further headers."""
    content = orjson.dumps(body)
    await respond(send, status, [*json_headers(content), *headers], content)


def json_headers(body: bytes) -> HeaderList:
    """The headers of a JSON body."""
    return [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]


def header_list(headers: Mapping[str, str]) -> HeaderList:
    """Headers as ASGI has them."""
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]
