"""Events for operators on `/ws/debug`: what processes read and wrote lately (docs/debug-stream.md).

    emit("write.factor.ingest_done", series, lambda: {"up_to_candle_time": head})

Every process of an installation adds to one ring of the newest events. Adding never waits: events
are dropped while the ring can't be reached. With the debug switch off nothing is kept.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol

import orjson
from django.conf import settings
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from typing_extensions import override

from market import identity
from market.domain.series import SeriesId
from market.singletons import closed_by

log = logging.getLogger(__name__)

Level = Literal["info", "warn", "error"]

RING_SIZE = 2000
"""Events that the ring holds."""
MAX_MESSAGE = 500
MAX_DATA_BYTES = 4096
KEPT_S = 86_400
"""The ring of an installation that is gone expires after so long."""

BUS_TIMEOUT_S = 2.0
# Events of this time are written together.
GATHER_S = 0.05
AT_ONCE = 500
RETRY_S = 1.0


class Cursor(NamedTuple):
    """The place of an event in the ring; places grow."""

    first: int
    second: int


BEGINNING = Cursor(0, 0)


class Placed(NamedTuple):
    """An event as JSON, and its place."""

    at: Cursor
    event: bytes


class DebugRing(Protocol):
    """The newest RING_SIZE events of the installation."""

    def add(self, event: bytes) -> None:
        """Add an event, now or soon; never raises."""

    def after(self, cursor: Cursor) -> Sequence[Placed]:
        """The events after a place, oldest first. Blocking; raises RedisError."""


class MemoryRing(DebugRing):
    """The ring of a process that is an installation by itself."""

    def __init__(self) -> None:
        self._events: deque[Placed] = deque(maxlen=RING_SIZE)
        self._lock = threading.Lock()
        self._added = 0

    @override
    def add(self, event: bytes) -> None:
        with self._lock:
            self._added += 1
            self._events.append(Placed(Cursor(0, self._added), event))

    @override
    def after(self, cursor: Cursor) -> Sequence[Placed]:
        with self._lock:
            return [each for each in self._events if each.at > cursor]


class ValkeyRing(DebugRing):
    """A stream in Valkey, bounded by its length, that all processes of an installation add to.

    A thread writes; `close` ends it after what was added.
    """

    def __init__(self, client: Redis, prefix: Callable[[], str] = identity.prefix) -> None:
        self._client = client
        self._prefix = prefix
        self._waiting: queue.Queue[bytes | None] = queue.Queue(RING_SIZE)
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    @override
    def add(self, event: bytes) -> None:
        try:
            self._waiting.put_nowait(event)
        except queue.Full:
            return
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(
                        target=self._write, name="debug events", daemon=True
                    )
                    self._thread.start()

    @override
    def after(self, cursor: Cursor) -> Sequence[Placed]:
        first = "-" if cursor == BEGINNING else f"({cursor.first}-{cursor.second}"
        found: Any = self._client.xrange(self._key(), first, "+", count=RING_SIZE)
        return [Placed(_cursor_of(place), fields[b"event"]) for place, fields in found]

    def close(self) -> None:
        """Write what was added, as far as Valkey takes it, and close the connections."""
        self._closing.set()
        if self._thread is not None:
            try:
                self._waiting.put_nowait(None)
            except queue.Full:
                log.debug("the writer of debug events is behind")
            self._thread.join(2 * BUS_TIMEOUT_S)
        self._client.close()

    def _key(self) -> str:
        return f"{self._prefix()}debug_events"

    def _write(self) -> None:
        is_away = False
        while (event := self._waiting.get()) is not None:
            if not self._closing.is_set():
                self._closing.wait(GATHER_S)
            batch = [event]
            while len(batch) < AT_ONCE and not self._waiting.empty():
                if (event := self._waiting.get()) is None:
                    break
                batch.append(event)
            try:
                self._append(batch)
                is_away = False
            except (RedisError, identity.IdentityUnknown, identity.WrongInstallation) as error:
                if not is_away:
                    log.warning("debug events are dropped: %s", error)
                is_away = True
                self._closing.wait(RETRY_S)
            if event is None or (self._closing.is_set() and is_away):
                return

    def _append(self, batch: Sequence[bytes]) -> None:
        key = self._key()
        with self._client.pipeline(transaction=False) as calls:
            for event in batch:
                calls.xadd(key, {"event": event}, maxlen=RING_SIZE, approximate=False)
            calls.expire(key, KEPT_S)
            calls.execute()


def _cursor_of(place: bytes) -> Cursor:
    first, _, second = place.partition(b"-")
    return Cursor(int(first), int(second))


def _close(ring: DebugRing) -> None:
    if isinstance(ring, ValkeyRing):
        ring.close()


@closed_by(_close)
def debug_ring() -> DebugRing:
    """The ring of this process's installation."""
    if not settings.SWITCHES.enable_ws_pubsub:
        return MemoryRing()
    return ValkeyRing(connect(settings.REDIS_URL))


def connect(url: str) -> Redis:
    """A client of Valkey whose calls fail rather than wait."""
    return Redis.from_url(
        url,
        socket_timeout=BUS_TIMEOUT_S,
        socket_connect_timeout=BUS_TIMEOUT_S,
        # One retry, for a connection that a restarted server has closed.
        retry=Retry(NoBackoff(), 1),
    )


Data = Mapping[str, object] | Callable[[], Mapping[str, object]]
"""What an event has; a function that makes it is called only where events are kept."""


def emit(
    event: str,
    series: SeriesId | None = None,
    data: Data | None = None,
    *,
    message: str = "",
    level: Level = "info",
) -> None:
    """Add an event, named `read.…` or `write.…`, to the ring; from any thread, without waiting."""
    if not is_on():
        return
    fields: dict[str, object] = {
        "ts_ms": int(time.time() * 1000),
        "source": "backend",
        "pipe": "read" if event.startswith("read.") else "write",
        "event": event,
        "series_id": None if series is None else str(series),
        "level": level,
        "message": message[:MAX_MESSAGE],
    }
    if callable(data):
        data = data()
    if data:
        encoded = orjson.dumps(data, default=str)
        is_small = len(encoded) <= MAX_DATA_BYTES
        fields["data"] = orjson.Fragment(encoded) if is_small else {"bytes": len(encoded)}
    debug_ring().add(orjson.dumps(fields))


def is_on() -> bool:
    """Whether events are kept; for what has to be collected before there is an event."""
    return bool(settings.SWITCHES.enable_debug_api)


def milliseconds_since(started: float) -> float:
    """Milliseconds since `started`, a time of time.perf_counter."""
    return round((time.perf_counter() - started) * 1000, 3)
