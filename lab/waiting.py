"""Waiting with one limit: every wait ends when its condition holds and scales with TEST_PATIENCE.

`TEST_PATIENCE` is a factor. A limit is written as the seconds that an idle machine needs at most;
the default leaves room for a machine that is busy with other work.
"""

from __future__ import annotations

import asyncio
import linecache
import os
import time
from collections.abc import Callable
from typing import TypeVar

DEFAULT_FACTOR = 6.0
LIMIT_S = 10.0
POLL_S = 0.005
LONGEST_POLL_S = 0.05

Found = TypeVar("Found")


class WaitTimeout(AssertionError):
    """A condition did not hold within its limit."""


def patience(seconds: float = LIMIT_S) -> float:
    """Return the limit, in seconds, for a wait that takes at most `seconds` on an idle machine."""
    return seconds * float(os.environ.get("TEST_PATIENCE") or DEFAULT_FACTOR)


def wait_until(condition: Callable[[], Found], seconds: float = LIMIT_S, what: str = "") -> Found:
    """Poll until `condition` returns something true, and return that.

    Raises WaitTimeout, which names `what` was waited for, after `patience(seconds)`.
    """
    poll = _Poll(condition, seconds, what)
    while not (found := condition()):
        time.sleep(poll.next_pause())
    return found


async def eventually(
    condition: Callable[[], Found], seconds: float = LIMIT_S, what: str = ""
) -> Found:
    """Like `wait_until`, without blocking the event loop between two polls."""
    poll = _Poll(condition, seconds, what)
    while not (found := condition()):  # noqa: ASYNC110  Any condition, so there is no event.
        await asyncio.sleep(poll.next_pause())
    return found


class _Poll:
    """The pauses of one wait: they grow, and end with an error when the limit has passed."""

    def __init__(self, condition: Callable[[], object], seconds: float, what: str) -> None:
        self._condition = condition
        self._limit = patience(seconds)
        self._what = what
        self._end = time.monotonic() + self._limit
        self._pause = POLL_S

    def next_pause(self) -> float:
        if time.monotonic() > self._end:
            what = self._what or _source(self._condition)
            raise WaitTimeout(f"waited {self._limit:g} s for {what}")
        pause, self._pause = self._pause, min(self._pause * 1.2, LONGEST_POLL_S)
        return pause


def _source(condition: Callable[[], object]) -> str:
    """Return the line that defines the condition, or its representation without one."""
    code = getattr(condition, "__code__", None)
    line = linecache.getline(code.co_filename, code.co_firstlineno).strip() if code else ""
    return line or repr(condition)
