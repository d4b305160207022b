"""Watchers as their parent sees them: a few processes of many, asked and answered together."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from lab.client import Order
from lab.ledger import Tally
from lab.program import LabFailed
from lab.waiting import WaitTimeout, patience, wait_until
from trade_canvas.environment import BASE_DIR

ANSWER_S = 90.0
STOP_S = 5.0


@dataclass(frozen=True, slots=True)
class Joined:
    """How many watchers were to become live, how many did, and the seconds that each took."""

    asked: int
    live: int
    seconds: list[float]


@dataclass(frozen=True, slots=True)
class PageLoads:
    """Pages asked for, the seconds of each that came whole, bytes, wall time, and failures."""

    asked: int
    seconds: list[float]
    bytes: int
    took: float
    wrong: dict[str, int]


@dataclass(slots=True)
class Received:
    """Everything that the watchers received.

    By (series, open time) of closed candles: `arrivals` in Unix seconds at the watchers that were
    live, and `values` as first received.
    """

    tally: Tally = field(default_factory=Tally)
    counts: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    most_behind_s: float = 0.0
    arrivals: dict[tuple[str, int], list[float]] = field(default_factory=dict)
    values: dict[tuple[str, int], list[float]] = field(default_factory=dict)

    def add(self, answer: Mapping[str, Any]) -> None:
        """Add what one process of watchers received."""
        self.tally.add(Tally(**answer["tally"]))
        self.counts.update(answer["counts"])
        self.notes += answer["notes"]
        self.most_behind_s = max(self.most_behind_s, answer["most_behind_s"])
        for series, candle_time, values, times in answer["candles"]:
            key = (series, candle_time)
            self.tally.differing += self.values.setdefault(key, values) != values
            if times:
                self.arrivals.setdefault(key, []).extend(times)


class Crowd:
    """Processes of watchers (lab.crowd_process); a context manager.

    The order's watchers are shared out evenly. Not for use from several threads.
    """

    def __init__(self, order: Order, *, processes: int = 1, log: Path) -> None:
        self._log = log.open("ab")
        self._members: list[_Member] = []
        first = order.first
        for share in _shares(order.watchers, processes):
            part = replace(order, watchers=share, first=first)
            first += share
            self._members.append(_Member(part, self._log.fileno()))

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
        if more is None:
            return _joined(self._ask("attach"))
        shares = _shares(more, len(self._members))
        return _joined(self._ask("attach", *({"watchers": share} for share in shares)))

    def counts(self) -> Counter[str]:
        """Return what all watchers have counted so far."""
        return _summed(answer["counts"] for answer in self._ask("status"))

    def wait_until_whole(self, seconds: float, *, for_s: float, after: float = 0.0) -> float:
        """Wait until all watchers have been up to date for `for_s`, counted from `after` on.

        Returns since when they are (times are monotonic). Raises LabFailed.
        """
        lacks = ""

        def whole_since() -> float | None:
            nonlocal lacks
            answers = self._ask("status")
            times = [answer["whole_since"] for answer in answers]
            lacks = "; ".join(answer["lacks"] for answer in answers if not answer["whole_since"])
            if None in times or time.monotonic() - max(*times, after) < for_s:
                return None
            return float(max(times))

        try:
            return wait_until(whole_since, seconds + for_s, "watchers to be up to date") or 0.0
        except WaitTimeout as error:
            raise LabFailed(f"{error}: {lacks}") from error

    def adjust(self, **changes: float | bool) -> None:
        """Set `clock_offset_s`, the offset of the candles' clock, or `forget_lag` so far."""
        self._ask("adjust", *[changes] * len(self._members))

    def storm(self) -> Joined:
        """Have every watcher lose its connection now and reconnect at the next address."""
        return _joined(self._ask("storm"))

    def pages(self, count: int, limit: int) -> PageLoads:
        """Have `count` pages of the newest `limit` candles read at once."""
        shares = _shares(count, len(self._members))
        answers = self._ask("pages", *({"count": share, "limit": limit} for share in shares))
        return PageLoads(
            asked=sum(answer["asked"] for answer in answers),
            seconds=[each for answer in answers for each in answer["seconds"]],
            bytes=sum(answer["bytes"] for answer in answers),
            took=max(answer["took"] for answer in answers),
            wrong=_summed(answer["wrong"] for answer in answers),
        )

    def move(self, urls: Sequence[str]) -> None:
        """Set the addresses for connections from now on."""
        self._ask("move", *[{"urls": list(urls)}] * len(self._members))

    def finish(self, expected: Mapping[str, Sequence[int]], *, wait: bool = False) -> Received:
        """Have all watchers leave, and compare what each received with `expected`.

        That are open times of closed candles, by series. With `wait`, watchers that lack the last
        of them are given some time.
        """
        received = Received()
        request = {"expected": expected, "wait": wait}
        for answer in self._ask("finish", *[request] * len(self._members)):
            received.add(answer)
        return received

    def close(self) -> None:
        """End the processes."""
        for member in self._members:
            member.close()
        self._log.close()

    def _ask(self, what: str, *requests: Mapping[str, Any]) -> list[Any]:
        for number, member in enumerate(self._members):
            member.send({"do": what, **(requests[number] if requests else {})})
        return [member.receive() for member in self._members]


class _Member:
    """One process; its answers come through a thread, so that waiting for them can end."""

    def __init__(self, order: Order, log: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "lab.crowd_process", orjson.dumps(asdict(order)).decode()],
            cwd=BASE_DIR,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            # Ctrl-C is for the parent, whose end closes the input.
            start_new_session=True,
        )
        self._answers: queue.Queue[bytes] = queue.Queue(maxsize=16)
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, request: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(orjson.dumps(request) + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise LabFailed("a process of watchers ended; see watchers.log") from None

    def receive(self) -> Any:
        try:
            line = self._answers.get(timeout=patience(ANSWER_S))
        except queue.Empty:
            raise LabFailed("a process of watchers does not answer") from None
        if not line:
            raise LabFailed("a process of watchers ended; see watchers.log")
        return orjson.loads(line)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(patience(STOP_S))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(patience(STOP_S))

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._answers.put(line)
        self._process.stdout.close()
        self._answers.put(b"")


def _shares(count: int, parts: int) -> list[int]:
    return [len(range(each, count, parts)) for each in range(parts)]


def _joined(answers: Sequence[Mapping[str, Any]]) -> Joined:
    return Joined(
        asked=sum(answer["asked"] for answer in answers),
        live=sum(answer["live"] for answer in answers),
        seconds=[each for answer in answers for each in answer["seconds"]],
    )


def _summed(counts: Iterable[Mapping[str, int]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return total
