"""In front of the API: how many requests a second one address may make of this process."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

import orjson
from django.conf import settings

from market.addresses import network_of, peer_of
from market.api.asgi import Application, Receive, Scope, Send, json_headers, respond
from market.api.errors import API_PREFIX, ApiError
from market.api.writes import holds_token

MAX_REMEMBERED = 10_000

# What may come at once, in seconds of the rate: a page loads several things when it opens.
BURST_S = 10.0


class RequestRate:
    """Admits `per_s` requests a second of each caller, and BURST_S seconds' worth at once.

    Of a caller it keeps when all that was admitted would have been at an even pace (the generic
    cell rate algorithm). Beyond MAX_REMEMBERED callers those not heard of longest are forgotten.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._paid_until: OrderedDict[str, float] = OrderedDict()

    def wait_s(self, caller: str, per_s: int) -> float:
        """Seconds until the caller's next request is admitted; 0 admits this one."""
        now = self._clock()
        paid_until = max(self._paid_until.get(caller, now), now)
        wait = paid_until + 1 / per_s - now - BURST_S
        if wait > 0:
            return wait
        self._paid_until[caller] = paid_until + 1 / per_s
        self._paid_until.move_to_end(caller)
        if len(self._paid_until) > MAX_REMEMBERED:
            self._paid_until.popitem(last=False)
        return 0.0


class ReadLimit:
    """ASGI middleware: answers 429 `rate_limited` beyond the rate; the ingest token has none."""

    def __init__(
        self, application: Application, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._application = application
        self._rate = RequestRate(clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        per_s = settings.SWITCHES.api_requests_per_s
        if not per_s or scope["type"] != "http" or not scope["path"].startswith(API_PREFIX):
            await self._application(scope, receive, send)
            return
        wait_s = self._rate.wait_s(network_of(peer_of(scope)), per_s)
        if not wait_s or _is_writer(scope):
            await self._application(scope, receive, send)
            return
        error = ApiError(429, "rate_limited", "too many requests, slow down")
        content = orjson.dumps(error.body())
        retry = (b"retry-after", str(int(wait_s) + 1).encode())
        await respond(send, error.status, [*json_headers(content), retry], content)


def _is_writer(scope: Scope) -> bool:
    authorization = dict(scope["headers"]).get(b"authorization", b"")
    return holds_token(authorization.decode("latin-1"))
