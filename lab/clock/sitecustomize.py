"""Puts a process's wall clock off by the seconds in the file that LAB_CLOCK names.

Python reads this at its start when the folder is on PYTHONPATH. The file holds one double and may
be changed at any time; monotonic clocks are left alone, as a step of the real clock leaves them.
"""

from __future__ import annotations

import datetime
import mmap
import os
import struct
import time

VARIABLE = "LAB_CLOCK"

_real_time = time.time
_RealDatetime = datetime.datetime


class _Kind(type(_RealDatetime)):  # type: ignore[misc]
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _RealDatetime)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, _RealDatetime)


def _install(path: str) -> None:
    with open(path, "r+b") as file:
        shared = mmap.mmap(file.fileno(), 8)

    def offset_s() -> float:
        return float(struct.unpack("d", shared[:8])[0])

    class Datetime(_RealDatetime, metaclass=_Kind):
        """The real class with the offset added to the present time."""

        @classmethod
        def now(cls, tz=None):  # type: ignore[no-untyped-def]
            return _RealDatetime.now(tz) + datetime.timedelta(seconds=offset_s())

        @classmethod
        def utcnow(cls):  # type: ignore[no-untyped-def]
            now = _RealDatetime.now(datetime.UTC) + datetime.timedelta(seconds=offset_s())
            return now.replace(tzinfo=None)

    time.time = lambda: _real_time() + offset_s()
    datetime.datetime = Datetime  # type: ignore[misc]


if path := os.environ.get(VARIABLE):
    _install(path)
