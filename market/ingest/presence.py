"""Announces this process in the lease store every few seconds, so that the status page shows it.

An entry expires a minute after its last announcement; until then a dead process shows as missing.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from redis.exceptions import RedisError

from market import identity
from market.domain.lease_store import LeaseStore, LeaseStoreUnavailable, Member
from market.ingest.runtime import lease_store, process_name

log = logging.getLogger(__name__)

WEB, WORKER, BEAT, RECONCILE = "web", "worker", "beat", "reconcile"

INTERVAL_S = 3.0
TTL_S = 60.0
# The time of the last reconcile is kept for a day: an operator may look much later.
RECONCILE_TTL_S = 86_400.0
JOIN_TIMEOUT_S = 5.0


class Load(NamedTuple):
    """What a web process serves now."""

    watchers: int = 0
    subscriptions: int = 0


class Presence:
    """Announces one process from a thread of its own until it is stopped.

    `load` is called in that thread each time. An unreachable lease store is logged once.
    """

    def __init__(
        self,
        kind: str,
        *,
        load: Callable[[], Load] = Load,
        interval: float = INTERVAL_S,
        leases: LeaseStore | None = None,
    ) -> None:
        self._kind = kind
        self._load = load
        self._interval = interval
        self._leases = leases or lease_store()
        self._started_at = time.time()
        self._is_reachable = True
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="presence", daemon=True)

    def start(self) -> None:
        """Begin to announce the process."""
        self._thread.start()

    def stop(self) -> None:
        """Withdraw the process. Blocking, within the lease store's own timeouts."""
        self._end.set()
        self._thread.join(JOIN_TIMEOUT_S)

    def _run(self) -> None:
        while not self._end.is_set():
            check_identity()
            self._try(lambda: self._leases.announce(self._member(), ttl=TTL_S))
            self._end.wait(self._interval)
        self._try(lambda: self._leases.withdraw(self._member()))

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
        except LeaseStoreUnavailable as error:
            if self._is_reachable:
                log.warning("presence: the lease store is unavailable: %s", error)
            self._is_reachable = False
        else:
            self._is_reachable = True


def check_identity() -> None:
    """End this process in an orderly way when it belongs to another installation.

    That is repeated: database or bus may have been away at the start, and later another database
    may take this one's place.
    """
    try:
        identity.check()
    except identity.WrongInstallation as error:
        log.critical("%s", error)
        os.kill(os.getpid(), signal.SIGTERM)
    except (identity.IdentityUnknown, RedisError):
        log.debug("the installation could not be checked", exc_info=True)


def announce_reconcile() -> None:
    """Record that a round of reconcile ran; raises LeaseStoreUnavailable."""
    now = time.time()
    member = Member(kind=RECONCILE, name=RECONCILE, started_at=now, seen_at=now)
    lease_store().announce(member, ttl=RECONCILE_TTL_S)
