"""Limits how many API requests per second one address may make to this process."""

from __future__ import annotations

import time
from collections.abc import Callable

from market.api.asgi import Application, Receive, Scope, Send, respond_json
from market.api.errors import API_PREFIX, ApiError
from market.api.writes import holds_token
from market.domain.throttle import Throttle
from market.networks import network_of
from trade_canvas.edge.addresses import peer_of

# How many seconds' worth may come at once: a page loads several things when it opens.
BURST_S = 10


class RequestRate:
    """ASGI middleware: answers 429 `rate_limited` beyond `per_s`; 0 is no limit.

    Requests with the ingest token are not limited.
    """

    def __init__(
        self, application: Application, *, per_s: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._application = application
        self._throttle: Throttle[str] | None = None
        if per_s:
            self._throttle = Throttle(1 / per_s, burst=BURST_S * per_s, clock=clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        is_api = scope["type"] == "http" and scope["path"].startswith(API_PREFIX)
        if self._throttle is None or not is_api:
            await self._application(scope, receive, send)
            return
        wait_s = self._throttle.admit(network_of(peer_of(scope)))
        authorization = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
        if not wait_s or holds_token(authorization):
            await self._application(scope, receive, send)
            return
        error = ApiError(429, "rate_limited", "too many requests, slow down")
        retry = (b"retry-after", str(int(wait_s) + 1).encode())
        await respond_json(send, error.status, error.body(), retry)
