"""What the reads of one client address cost this process, in milliseconds of processor time.

    with budget.charged(address):
        ...  # every thread that works for it runs its part `with measured():`

A request over HTTP and a subscribe over the WebSocket take from the same budget.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from django.conf import settings

from market.domain.throttle import Throttle
from market.singletons import once

# How many seconds' worth may be taken at once: a page with several charts needs one second of it.
BURST_S = 20

# Charged when a request begins, and set right when it has ended: many may begin together.
ASSUMED_MS = 10.0

# What an answer costs outside of what is measured: receiving and routing it, and sending its bytes.
REQUEST_MS = 0.2
MEGABYTE_MS = 0.5


@dataclass(slots=True)
class Cost:
    """The processor time of one request, in milliseconds; threads add what they measure."""

    ms: float = REQUEST_MS

    def add_bytes(self, count: int) -> None:
        """Add what it costs to send so many bytes."""
        self.ms += MEGABYTE_MS * count / 1e6


# The request that runs; threads that work for it find it here.
COST: ContextVar[Cost | None] = ContextVar("COST", default=None)


@contextmanager
def measured(cost: Cost | None = None) -> Iterator[None]:
    """Add this thread's processor time to a cost, or to that of the request that runs.

    Without either nothing is measured. The block must not wait for the event loop.
    """
    found = cost or COST.get()
    if found is None:
        yield
        return
    began_s = time.thread_time()
    try:
        yield
    finally:
        found.ms += 1000 * (time.thread_time() - began_s)


def charge(ms: float) -> None:
    """Add to the cost of the request that runs what others will do for it."""
    found = COST.get()
    if found is not None:
        found.ms += ms


class CostBudget:
    """Limits the processor time that each address may take to `ms_per_s`."""

    def __init__(self, ms_per_s: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        # An action is one millisecond.
        self._taken: Throttle[str] = Throttle(1 / ms_per_s, burst=BURST_S * ms_per_s, clock=clock)

    def wait_s(self, address: str) -> float:
        """Seconds until the address may take more; 0 means now."""
        return self._taken.wait_s(address)

    @contextmanager
    def charged(self, address: str) -> Iterator[Cost]:
        """Charge an address what the block costs, however it ends."""
        cost = Cost()
        self._taken.charge(address, ASSUMED_MS)
        token = COST.set(cost)
        try:
            yield cost
        finally:
            COST.reset(token)
            self._taken.charge(address, cost.ms - ASSUMED_MS)


@once
def cost_budget() -> CostBudget | None:
    """The budget of this process by API_COST_MS_PER_S; None without a limit."""
    ms_per_s = settings.SWITCHES.api_cost_ms_per_s
    return CostBudget(ms_per_s) if ms_per_s else None
