"""A lease store that can be made unavailable."""

from __future__ import annotations

from collections import Counter

from market.domain.lease_store import LeaseStoreUnavailable
from market.ingest.lease_store_memory import MemoryLeaseStore


class Outage:
    """Passes calls on to `leases`, and counts them by name; they fail while `is_on`."""

    def __init__(self, leases=None):
        self.leases = leases or MemoryLeaseStore()
        self.is_on = False
        self.calls = Counter()

    def __getattr__(self, name):
        def call(*args, **kwargs):
            self.calls[name] += 1
            if self.is_on:
                raise LeaseStoreUnavailable("outage")
            return getattr(self.leases, name)(*args, **kwargs)

        return call
