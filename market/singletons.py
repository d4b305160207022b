"""Objects that a process creates once, on first use; `reset` forgets them, as a restart does.

    @once
    def candle_store() -> CandleStore:
        return PostgresCandleStore()

An object that must be closed on reset is decorated with `closed_by(function)` instead.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import update_wrapper
from typing import Generic, TypeVar

T = TypeVar("T")

_resets: list[Callable[[], object]] = []


class Once(Generic[T]):
    """A function without arguments that runs once; every call returns the same object.

    Any thread may call it. When `make` raises, nothing is kept.
    """

    def __init__(
        self, make: Callable[[], T], *, close: Callable[[T], object] | None = None
    ) -> None:
        self._make = make
        self._close = close
        self._lock = threading.RLock()
        self._made: tuple[T] | None = None
        update_wrapper(self, make)
        on_reset(self.reset)

    def __call__(self) -> T:
        """The object, made on the first call."""
        made = self._made
        if made is None:
            with self._lock:
                made = self._made = self._made or (self._make(),)
        return made[0]

    def reset(self) -> None:
        """Close and forget the object, if there is one; the next call makes another."""
        with self._lock:
            made, self._made = self._made, None
            if made is not None and self._close is not None:
                self._close(made[0])


def once(make: Callable[[], T]) -> Once[T]:
    """Decorate a function that makes a singleton."""
    return Once(make)


def closed_by(close: Callable[[T], object]) -> Callable[[Callable[[], T]], Once[T]]:
    """Decorate a function that makes a singleton which `reset` closes with `close`."""
    return lambda make: Once(make, close=close)


def on_reset(forget: Callable[[], object]) -> None:
    """Have `reset` call `forget` as well, for singletons that are kept by a key."""
    _resets.append(forget)


def reset() -> None:
    """Close and forget every singleton of the modules loaded so far, the latest declared first."""
    for forget in reversed(_resets):
        forget()
