"""The headers that Django's middleware puts on every answer to a caller, if it accepts the caller.

Answers without Django carry the same headers as the others. These depend on the caller only, so
Django is asked once per caller, and never per query.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping

from market.api.asgi import Application, HeaderList, Message, Scope
from market.api.single_flight import SingleFlight

# What the middleware in trade_canvas.settings depends on, besides the scheme: the Host has to be
# allowed, a proxy may name the scheme, and CORS answers an Origin.
CALLER_HEADERS = (b"host", b"x-forwarded-proto", b"origin")

# Headers of one answer, not of all.
OF_AN_ANSWER = frozenset({b"content-type", b"content-length", b"set-cookie", b"vary"})

MAX_CALLERS = 256
MAX_CALLER_BYTES = 512

Caller = tuple[str | bytes, ...]


class CommonHeaders:
    """Asks Django about callers of one path, with a request that it answers without any work.

    `method` and `status` are those of that request, which has no query and no body. `vary` is the
    request header that answers to this path depend on besides those of the middleware.
    """

    def __init__(
        self, application: Application, *, method: str, status: int, vary: str = ""
    ) -> None:
        self._application = application
        self._method = method
        self._status = status
        self._vary = vary
        self._known: OrderedDict[Caller, HeaderList | None] = OrderedDict()
        self._asking: SingleFlight[Caller, HeaderList | None] = SingleFlight()

    async def of(self, scope: Scope, given: Mapping[bytes, bytes]) -> HeaderList | None:
        """The headers for all answers to a caller; None if Django has to answer.

        `given` are the request's headers.
        """
        caller = (scope["scheme"], *(given.get(name, b"") for name in CALLER_HEADERS))
        if caller in self._known:
            self._known.move_to_end(caller)
            return self._known[caller]
        if sum(map(len, caller)) > MAX_CALLER_BYTES:
            return None
        return await self._asking.result(caller, lambda: self._ask(scope, given, caller))

    async def _ask(
        self, scope: Scope, given: Mapping[bytes, bytes], caller: Caller
    ) -> HeaderList | None:
        started: list[Message] = []
        kept = [(name, given[name]) for name in CALLER_HEADERS if name in given]
        question = {**scope, "method": self._method, "query_string": b"", "headers": kept}
        body = [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive() -> Message:
            if body:
                return body.pop()
            # Django waits here for the client to go away.
            await asyncio.Event().wait()
            raise AssertionError

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                started.append(message)

        await self._application(question, receive, send)
        status = started[0]["status"] if started else 500
        if status >= 500:
            # Not the caller's fault, so nothing is remembered.
            return None
        headers = self._common(started[0]["headers"]) if status == self._status else None
        self._known[caller] = headers
        if len(self._known) > MAX_CALLERS:
            self._known.popitem(last=False)
        return headers

    def _common(self, headers: HeaderList) -> HeaderList:
        found = [(name.lower(), value) for name, value in headers]
        vary = f"{self._vary}, {dict(found).get(b'vary', b'').decode('latin-1')}"
        names = dict.fromkeys(name.strip() for name in vary.split(",") if name.strip())
        varies = ", ".join(names).encode("latin-1")
        common = [one for one in found if one[0] not in OF_AN_ANSWER]
        return [*common, (b"vary", varies)] if varies else common
