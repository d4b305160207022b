"""Folds repeated lines of the log: a server that is away must not fill the disk.

Records with the same level, place and template are alike. The first few of them are written, the
others counted: a line has the number once a minute, and another one when they have ended.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from typing_extensions import override

# How many different messages of one kind are written before the others are only counted.
SHOWN = 3
SHOWN_OF_INFO = 200
# After so many seconds the number is written, and after so many without another one they ended.
INTERVAL_S = 60.0
QUIET_S = 10.0
MOST_KINDS = 500
MESSAGE_CHARACTERS = 300

_NUMBERS = re.compile(r"0x[0-9a-f]+|\d+")

Key = tuple[str, int, str, int, str, str]


@dataclass(slots=True)
class Repeats:
    """What is known of one kind of records."""

    name: str
    level: int
    began: float
    """When the first came, by the monotonic clock; `interval` is when this interval did."""
    interval: float
    latest: float
    shown: set[int] = field(default_factory=set)
    """Hashes of the messages written in this interval."""
    folded: int = 0
    """How many were not written in this interval, and since `began`."""
    folded_in_all: int = 0
    message: str = ""


class FoldRepeats(logging.StreamHandler):  # type: ignore[type-arg]  # of any stream
    """A handler on a stream that writes the first records of a kind and counts the others."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._kinds: dict[Key, Repeats] = {}
        self._watch: threading.Thread | None = None

    @override
    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno < logging.INFO or not self._is_folded(record):
            super().emit(record)

    def settle(self) -> None:
        """Write the numbers that are due. A thread calls it while anything is folded."""
        with self._locked():
            now = self._clock()
            for key, kind in list(self._kinds.items()):
                if now - kind.latest >= QUIET_S:
                    self._settle(kind, now, has_ended=True)
                    del self._kinds[key]
                elif now - kind.interval >= INTERVAL_S:
                    self._settle(kind, now, has_ended=False)
                    kind.interval, kind.folded = now, 0
                    kind.shown.clear()

    @override
    def close(self) -> None:
        """Write what was folded so far."""
        with self._locked():
            now = self._clock()
            for kind in self._kinds.values():
                self._settle(kind, now, has_ended=False)
            self._kinds.clear()
        super().close()

    def _is_folded(self, record: logging.LogRecord) -> bool:
        """Count a record; handlers are called with their lock held."""
        message, now = record.getMessage(), self._clock()
        key = _key_of(record)
        kind = self._kinds.get(key)
        if kind is None:
            if len(self._kinds) >= MOST_KINDS:
                self._settle(self._kinds.pop(next(iter(self._kinds))), now, has_ended=False)
            kind = Repeats(record.name, record.levelno, began=now, interval=now, latest=now)
            self._kinds[key] = kind
        kind.latest = now
        most = SHOWN if record.levelno > logging.INFO else SHOWN_OF_INFO
        if len(kind.shown) < most and hash(message) not in kind.shown:
            kind.shown.add(hash(message))
            return False
        kind.folded += 1
        kind.folded_in_all += 1
        kind.message = message[:MESSAGE_CHARACTERS]
        self._keep_watch()
        return True

    def _settle(self, kind: Repeats, now: float, *, has_ended: bool) -> None:
        if has_ended and kind.folded_in_all:
            seconds = kind.latest - kind.began
            text = f"no longer repeated, {kind.folded_in_all:,} times more in {seconds:.0f} s"
            self._write(kind, logging.INFO, text)
        elif kind.folded:
            text = f"repeated {kind.folded:,} times more in {now - kind.interval:.0f} s"
            self._write(kind, kind.level, text)

    def _write(self, kind: Repeats, level: int, text: str) -> None:
        super().emit(
            logging.LogRecord(
                kind.name, level, __file__, 0, "%s: %s", (text, kind.message), exc_info=None
            )
        )

    def _keep_watch(self) -> None:
        # Made at need, also after a fork, which leaves no thread.
        if self._watch is None or not self._watch.is_alive():
            self._watch = threading.Thread(target=self._look, name="log", daemon=True)
            self._watch.start()

    def _look(self) -> None:
        while True:
            time.sleep(1.0)
            with self._locked():
                # Whoever runs this process, such as a test runner, may have closed its stream.
                if self.stream.closed:
                    return
                self.settle()
                if not any(kind.folded_in_all for kind in self._kinds.values()):
                    self._watch = None
                    return

    def _locked(self) -> threading.RLock:
        assert self.lock is not None
        return self.lock


def _key_of(record: logging.LogRecord) -> Key:
    # Libraries put numbers into templates, such as ports and times.
    template = _NUMBERS.sub("#", str(record.msg))[:MESSAGE_CHARACTERS]
    error = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else ""
    return record.name, record.levelno, record.pathname, record.lineno, template, error
