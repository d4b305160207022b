"""A time limit of the event loop that costs next to nothing to start and to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Timeout:
    """Calls `expired` some seconds after `start`, unless it is stopped before.

    For what happens many times a second on one connection. The timer of the event loop is not made
    and cancelled each time: it fires once for many starts, and is set again for what is left.
    """

    __slots__ = ("_due", "_expired", "_fires_at", "_loop", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, expired: Callable[[], None]) -> None:
        self._loop = loop
        self._expired = expired
        self._due: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._fires_at = 0.0

    def start(self, seconds: float) -> None:
        """Count from now, whether or not it is counting already."""
        self._due = self._loop.time() + seconds
        if self._timer is None or self._due < self._fires_at:
            self._set_timer(self._due)

    def stop(self) -> None:
        """Do not expire. It may be started again."""
        self._due = None

    def close(self) -> None:
        """Stop, and leave no timer in the event loop."""
        self._due = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._fires_at = when
        self._timer = self._loop.call_at(when, self._fired)

    def _fired(self) -> None:
        self._timer = None
        if self._due is None:
            return
        if self._loop.time() < self._due:
            self._set_timer(self._due)
        else:
            self._due = None
            self._expired()
