"""The ingest registry of this process, and how coroutines call it without blocking their loop."""

from __future__ import annotations

import asyncio
import os
import socket
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from typing import ParamSpec, TypeVar

from django.conf import settings

from market.domain.registry import Registry
from market.ingest.registry_memory import MemoryRegistry
from market.ingest.registry_valkey import ValkeyRegistry, connect

P = ParamSpec("P")
T = TypeVar("T")

REGISTRY_THREADS = 4


@lru_cache(maxsize=1)
def registry() -> Registry:
    """The one registry of this process: shared with workers, or its own when it ingests itself."""
    if settings.SWITCHES.ingest_in_process:
        return MemoryRegistry()
    return ValkeyRegistry(connect(settings.REDIS_URL))


@lru_cache(maxsize=1)
def instance_id() -> str:
    """The name of this process among those that hold leases."""
    return uuid.uuid4().hex


@lru_cache(maxsize=1)
def process_name() -> str:
    """What this process is called where people look: its host and process number."""
    return f"{socket.gethostname()}:{os.getpid()}"


@lru_cache(maxsize=1)
def _threads() -> ThreadPoolExecutor:
    # Not the pool of database work: an unreachable registry must not hold up reads of candles.
    return ThreadPoolExecutor(REGISTRY_THREADS, thread_name_prefix="registry")


async def ask(question: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a call of the registry on its threads; bounded by the registry's own timeouts."""
    call = partial(question, *args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(_threads(), call)
