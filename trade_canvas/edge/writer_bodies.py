"""Bodies of requests that write are read only from clients that may write."""

from __future__ import annotations

import asyncio

from market.api.asgi import Application, Message, Receive, Scope, Send
from market.api.writes import is_write, may_send_body


class WriterBodies:
    """ASGI middleware around Django, which reads a whole body before it calls a view.

    A request whose headers do not let it write reaches the view without its body, and is refused
    there. The server discards what the client still sends (trade_canvas.edge.bounded_protocols).
    """

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if is_write(scope["method"], scope["path"]) and not await may_send_body(scope):
            receive = _without_body()
        await self._application(scope, receive, send)


def _without_body() -> Receive:
    messages: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Message:
        if messages:
            return messages.pop()
        # Django waits here for the client to go away; the next message would be a part of the body.
        await asyncio.Event().wait()
        raise AssertionError

    return receive
