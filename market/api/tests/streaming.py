"""Clients of answers that are streamed, and what event streams send."""

from __future__ import annotations

import asyncio

import orjson


class StreamedClient:
    """A client of an ASGI application; it disconnects when `gone` is set.

    `send` gets the application's messages: each kind of client keeps what it looks at.
    """

    def __init__(self, application, sent):
        self.gone = asyncio.Event()
        self._asked = False
        self.task = asyncio.create_task(application(sent, self.receive, self.send))

    async def receive(self):
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        raise NotImplementedError


def events(content):
    """The events of a stream as (name, number, data); comments are left out."""
    found = []
    for block in content.decode().split("\n\n"):
        fields = dict(
            line.split(": ", 1) for line in block.split("\n") if line[:1] not in ("", ":")
        )
        if fields:
            found.append((fields["event"], fields.get("id"), orjson.loads(fields["data"])))
    return found
