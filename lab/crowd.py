"""Watchers as their parent sees them: a few processes of many, asked and answered together."""

from __future__ import annotations

import multiprocessing
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from lab.client import Order
from lab.crowd_process import Joined, Received, run
from lab.pages import PageLoads
from lab.program import LabFailed
from lab.waiting import WaitTimeout, patience, wait_until

ANSWER_S = 90.0
STOP_S = 5.0

Total = TypeVar("Total", Joined, PageLoads, Received)

# Forked children would share the parent's threads' locks.
_processes = multiprocessing.get_context("spawn")


class Crowd:
    """Processes of watchers; a context manager.

    The order's watchers are shared out evenly. Not for use from several threads.
    """

    def __init__(self, order: Order, *, processes: int = 1, log: Path) -> None:
        self._members: list[_Member] = []
        first = order.first
        for share in _shares(order.watchers, processes):
            self._members.append(_Member(replace(order, watchers=share, first=first), log))
            first += share

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def pids(self) -> list[int]:
        """The ids of the processes."""
        return [member.pid for member in self._members]

    def attach(self, more: int | None = None) -> Joined:
        """Connect and subscribe all of the order's watchers, or `more` in addition to before."""
        parts = len(self._members)
        shares = [None] * parts if more is None else _shares(more, parts)
        return _sum(self._ask_each("attach", ((share,) for share in shares)), Joined())

    def counts(self) -> Counter[str]:
        """Return what all watchers have counted so far."""
        total: Counter[str] = Counter()
        for status in self._ask("status"):
            total.update(status.counts)
        return total

    def wait_until_whole(self, seconds: float, *, for_s: float, after: float = 0.0) -> float:
        """Wait until all watchers have been up to date for `for_s`, counted from `after` on.

        Returns since when they are (times are monotonic). Raises LabFailed.
        """
        lacks = ""

        def whole_since() -> float | None:
            nonlocal lacks
            every = self._ask("status")
            lacks = "; ".join(status.lacks for status in every if status.whole_since is None)
            since = [status.whole_since for status in every]
            if None in since or time.monotonic() - max(*since, after) < for_s:
                return None
            return float(max(since))

        try:
            return wait_until(whole_since, seconds + for_s, "watchers to be up to date") or 0.0
        except WaitTimeout as error:
            raise LabFailed(f"{error}: {lacks}") from error

    def adjust(self, **changes: float | bool) -> None:
        """Set the candles' clock: `clock_offset_s`, or `clock_stands_at_s`; `forget_lag` so far."""
        self._ask("adjust", **changes)

    def storm(self) -> Joined:
        """Have every watcher lose its connection now and reconnect at the next address."""
        return _sum(self._ask("storm"), Joined())

    def pages(self, count: int, limit: int) -> PageLoads:
        """Have `count` pages of the newest `limit` candles read at once."""
        shares = _shares(count, len(self._members))
        return _sum(self._ask_each("pages", ((share, limit) for share in shares)), PageLoads())

    def move(self, urls: Sequence[str]) -> None:
        """Set the addresses for connections from now on."""
        self._ask("move", list(urls))

    def finish(self, expected: Mapping[str, Sequence[int]], *, wait: bool = False) -> Received:
        """Have all watchers leave, and compare what each received with `expected`.

        That are open times of closed candles, by series. With `wait`, watchers that lack the last
        of them are given some time.
        """
        return _sum(self._ask("finish", expected, wait=wait), Received())

    def close(self) -> None:
        """End the processes."""
        for member in self._members:
            member.close()

    def _ask(self, name: str, *arguments: object, **options: object) -> list[Any]:
        return self._ask_each(name, [arguments] * len(self._members), **options)

    def _ask_each(
        self, name: str, arguments: Iterable[tuple[object, ...]], **options: object
    ) -> list[Any]:
        for member, own in zip(self._members, arguments, strict=True):
            member.send(name, own, options)
        return [member.receive() for member in self._members]


class _Member:
    """One process; see lab.crowd_process."""

    def __init__(self, order: Order, log: Path) -> None:
        self._pipe, far_end = _processes.Pipe()
        self._process = _processes.Process(target=run, args=(order, far_end, log), daemon=True)
        self._process.start()
        far_end.close()

    @property
    def pid(self) -> int:
        return self._process.pid or 0

    def send(self, *request: object) -> None:
        try:
            self._pipe.send(request)
        except BrokenPipeError:
            raise LabFailed("a process of watchers ended; see watchers.log") from None

    def receive(self) -> Any:
        if not self._pipe.poll(patience(ANSWER_S)):
            raise LabFailed("a process of watchers does not answer")
        try:
            return self._pipe.recv()
        except EOFError:
            raise LabFailed("a process of watchers ended; see watchers.log") from None

    def close(self) -> None:
        self._pipe.close()
        self._process.join(patience(STOP_S))
        self._process.kill()
        self._process.join()
        self._process.close()


def _shares(count: int, parts: int) -> list[int]:
    return [len(range(each, count, parts)) for each in range(parts)]


def _sum(answers: Iterable[Any], total: Total) -> Total:
    for answer in answers:
        total.add(answer)
    return total
