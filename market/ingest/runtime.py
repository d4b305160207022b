"""What ingest makes once a process: its lease store, its names, and the threads that call it."""

from __future__ import annotations

import asyncio
import os
import socket
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from django.conf import settings

from market.domain.lease_store import LeaseStore
from market.ingest.lease_store_memory import MemoryLeaseStore
from market.ingest.lease_store_valkey import ValkeyLeaseStore, connect
from market.singletons import closed_by, once

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 4


@once
def lease_store() -> LeaseStore:
    """The lease store of this process: in Valkey, or in memory when the process ingests itself."""
    if settings.SWITCHES.ingest_in_process:
        return MemoryLeaseStore()
    return ValkeyLeaseStore(connect(settings.REDIS_URL))


@once
def instance_id() -> str:
    """The name of this process among those that hold leases."""
    return uuid.uuid4().hex


@once
def process_name() -> str:
    """The name of this process on the status page: its host and process number."""
    return f"{socket.gethostname()}:{os.getpid()}"


@closed_by(ThreadPoolExecutor.shutdown)
def _threads() -> ThreadPoolExecutor:
    # Not the pool of database work: an unreachable lease store must not delay reads of candles.
    return ThreadPoolExecutor(THREADS, thread_name_prefix="leases")


async def call(method: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call the lease store from a coroutine, in a thread; its own timeouts bound the call."""
    work = partial(method, *args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(_threads(), work)
