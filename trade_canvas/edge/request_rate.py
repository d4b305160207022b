"""Limits what one address may ask of this process: requests, and processor time, per second."""

from __future__ import annotations

import time
from collections.abc import Callable

from django.utils.translation import gettext_lazy as _

from market.api.asgi import Application, Message, Receive, Scope, Send
from market.api.error_codes import ErrorCode
from market.api.errors import ApiError
from market.api.writes import holds_token
from market.costs import CostBudget
from market.domain.throttle import Throttle
from market.networks import network_of
from trade_canvas.edge.addresses import peer_of
from trade_canvas.edge.metrics_endpoint import is_direct_from_metrics_network

# How many seconds' worth of requests may come at once: a page loads several things when it opens.
BURST_S = 10

PROBES = frozenset({"/healthz", "/readyz"})


class RequestRate:
    """ASGI middleware: answers 429 `rate_limited` beyond `per_s` requests (0: any) or the budget.

    Not limited are requests with the ingest token, and probes that come directly from one of
    METRICS_NETWORKS.
    """

    def __init__(
        self,
        application: Application,
        *,
        per_s: int,
        costs: CostBudget | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._application = application
        self._requests: Throttle[str] | None = None
        self._costs = costs
        if per_s:
            self._requests = Throttle(1 / per_s, burst=BURST_S * per_s, clock=clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http" or not (self._requests or self._costs):
            await self._application(scope, receive, send)
            return
        network = network_of(peer_of(scope))
        wait_s = self._requests.admit(network) if self._requests else 0.0
        if self._costs:
            wait_s = max(wait_s, self._costs.wait_s(network))
        if wait_s and not _has_no_limit(scope):
            error = ApiError(429, ErrorCode.RATE_LIMITED, _("too many requests, slow down"))
            retry = (b"retry-after", str(int(wait_s) + 1).encode())
            await error.send(scope, send, retry)
        elif self._costs:
            await self._charged(self._costs, network, scope, receive, send)
        else:
            await self._application(scope, receive, send)

    async def _charged(
        self, costs: CostBudget, network: str, scope: Scope, receive: Receive, send: Send
    ) -> None:
        with costs.charged(network) as cost:

            async def counting(message: Message) -> None:
                if message["type"] == "http.response.body":
                    cost.add_bytes(len(message.get("body", b"")))
                await send(message)

            await self._application(scope, receive, counting)


def _has_no_limit(scope: Scope) -> bool:
    if scope["path"] in PROBES and is_direct_from_metrics_network(scope):
        return True
    authorization = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
    return holds_token(authorization)
