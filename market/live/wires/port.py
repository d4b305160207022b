"""What the hub needs of a connection: sending that never waits, and a bounded outbox.

Closed candles are never dropped: when the outbox would overflow, the watcher is closed with 4008
and resumes from its last candle. Of forming candles only the newest of each series matters.
"""

from __future__ import annotations

from typing import Protocol

from market.live import metrics
from market.live.frames import Frame

SLOW_CONSUMER = 4008
SLOW_CONSUMER_REASON = "slow_consumer"

# How long the peer may take to read what is still buffered when its connection is closed.
CLOSE_GRACE_S = 10.0

# Above this a watcher is behind: forming candles wait, and a catch-up waits for room.
BEHIND_BYTES = 65_536


class Wire(Protocol):
    """The connection to one watcher."""

    __slots__ = ()

    @property
    def is_open(self) -> bool:
        """Whether anything sent now can still arrive."""

    @property
    def is_behind(self) -> bool:
        """Whether more than BEHIND_BYTES are waiting to be read."""

    @property
    def waiting_bytes(self) -> int:
        """Bytes that were sent and not yet taken by the network."""

    def send(self, frame: Frame) -> None:
        """Send, or close the watcher with 4008 when its outbox is full.

        A frame larger than the whole outbox leaves while no more than BEHIND_BYTES wait.
        """

    def offer(self, frame: Frame) -> bool:
        """Send and return True, or return False while the watcher is behind."""

    def close(self, code: int, reason: str) -> None:
        """Close after what has been sent; the peer has CLOSE_GRACE_S to read it."""


def count_close(code: int) -> None:
    """Count a close that is due to a slow watcher."""
    if code == SLOW_CONSUMER:
        metrics.SLOW_CLOSES.inc()
