"""This process among those of the installation: it tells every few seconds that it lives.

The registry forgets a process that is gone for a minute; until then people see that it is missing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from market.domain.registry import Member, Registry, RegistryUnavailable
from market.ingest.wiring import process_name, registry

log = logging.getLogger(__name__)

WEB, WORKER, BEAT, RECONCILE = "web", "worker", "beat", "reconcile"

INTERVAL_S = 3.0
TTL_S = 60.0
# The last round is of interest for as long as an operator may sleep.
RECONCILE_TTL_S = 86_400.0
JOIN_TIMEOUT_S = 5.0


class Load(NamedTuple):
    """What a web process serves now."""

    watchers: int = 0
    subscriptions: int = 0


class Presence:
    """Announces one process from a thread of its own, until it is stopped.

    `load` is asked from that thread each time. An unreachable registry is told of once.
    """

    def __init__(
        self,
        kind: str,
        *,
        load: Callable[[], Load] = Load,
        interval: float = INTERVAL_S,
        known: Registry | None = None,
    ) -> None:
        self._kind = kind
        self._load = load
        self._interval = interval
        self._registry = known or registry()
        self._started_at = time.time()
        self._reachable = True
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="presence", daemon=True)

    def start(self) -> None:
        """Begin to tell."""
        self._thread.start()

    def stop(self) -> None:
        """Tell that the process ends. Blocking, within the registry's own timeouts."""
        self._end.set()
        self._thread.join(JOIN_TIMEOUT_S)

    def _run(self) -> None:
        while not self._end.is_set():
            self._try(lambda: self._registry.announce(self._member(), ttl=TTL_S))
            self._end.wait(self._interval)
        self._try(lambda: self._registry.withdraw(self._member()))

    def _member(self) -> Member:
        load = self._load()
        return Member(
            kind=self._kind,
            name=process_name(),
            started_at=self._started_at,
            seen_at=time.time(),
            watchers=load.watchers,
            subscriptions=load.subscriptions,
        )

    def _try(self, call: Callable[[], None]) -> None:
        try:
            call()
        except RegistryUnavailable as error:
            if self._reachable:
                log.warning("presence: the registry is away: %s", error)
            self._reachable = False
        else:
            self._reachable = True


def tell_reconciled() -> None:
    """Tell that a round of reconcile was run; raises RegistryUnavailable."""
    now = time.time()
    told = Member(kind=RECONCILE, name=RECONCILE, started_at=now, seen_at=now)
    registry().announce(told, ttl=RECONCILE_TTL_S)
