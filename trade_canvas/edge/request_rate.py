"""Limits what one address may ask of this process: requests, and processor time, per second."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass

from market.api.asgi import Application, Message, Receive, Scope, Send, respond_json
from market.api.errors import ApiError
from market.api.writes import holds_token
from market.domain.throttle import Throttle
from market.networks import network_of
from trade_canvas.edge.addresses import peer_of
from trade_canvas.edge.metrics_endpoint import is_direct_from_metrics_network

# How many seconds' worth of requests may come at once: a page loads several things when it opens.
BURST_S = 10

# How many seconds' worth of processor time: a page with several charts needs one second of it.
COST_BURST_S = 20

# Charged when a request begins, and set right when it has ended: many may begin together.
ASSUMED_MS = 10.0

# What an answer costs outside of Django's threads: receiving and routing it, and sending its bytes.
REQUEST_MS = 0.2
MEGABYTE_MS = 0.5

PROBES = frozenset({"/healthz", "/readyz"})


@dataclass(slots=True)
class Cost:
    """The processor time of one request, in milliseconds; threads add what they measure."""

    ms: float = REQUEST_MS


# The request that runs; threads that work for it find it here.
COST: ContextVar[Cost | None] = ContextVar("COST", default=None)


class RequestRate:
    """ASGI middleware: answers 429 `rate_limited` beyond `per_s` or `cost_ms_per_s`; 0 is no limit.

    Not limited are requests with the ingest token, and probes that come directly from one of
    METRICS_NETWORKS.
    """

    def __init__(
        self,
        application: Application,
        *,
        per_s: int,
        cost_ms_per_s: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._application = application
        self._requests: Throttle[str] | None = None
        self._costs: Throttle[str] | None = None
        if per_s:
            self._requests = Throttle(1 / per_s, burst=BURST_S * per_s, clock=clock)
        if cost_ms_per_s:
            # An action is one millisecond.
            burst = COST_BURST_S * cost_ms_per_s
            self._costs = Throttle(1 / cost_ms_per_s, burst=burst, clock=clock)

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
            error = ApiError(429, "rate_limited", "too many requests, slow down")
            retry = (b"retry-after", str(int(wait_s) + 1).encode())
            await respond_json(send, error.status, error.body(), retry)
        elif self._costs:
            await self._charged(self._costs, network, scope, receive, send)
        else:
            await self._application(scope, receive, send)

    async def _charged(
        self, costs: Throttle[str], network: str, scope: Scope, receive: Receive, send: Send
    ) -> None:
        cost, sent = Cost(), 0

        async def counting(message: Message) -> None:
            nonlocal sent
            if message["type"] == "http.response.body":
                sent += len(message.get("body", b""))
            await send(message)

        costs.charge(network, ASSUMED_MS)
        token = COST.set(cost)
        try:
            await self._application(scope, receive, counting)
        finally:
            COST.reset(token)
            costs.charge(network, cost.ms + MEGABYTE_MS * sent / 1e6 - ASSUMED_MS)


def _has_no_limit(scope: Scope) -> bool:
    if scope["path"] in PROBES and is_direct_from_metrics_network(scope):
        return True
    authorization = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
    return holds_token(authorization)
