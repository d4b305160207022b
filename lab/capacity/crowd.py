"""Watchers as the parent sees them: a few processes of many, asked and answered together."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson

from lab.capacity.ledger import Tally
from lab.capacity.programs import TopologyFailed
from lab.capacity.watcher import Order
from trade_canvas.environment import BASE_DIR

ANSWER_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Joined:
    """How many of the watchers asked for became live, and the seconds that each took."""

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
class Told:
    """All that the watchers were told; arrivals are Unix seconds by (series, open time)."""

    tally: Tally = field(default_factory=Tally)
    counts: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    arrivals: dict[tuple[str, int], list[float]] = field(default_factory=dict)


class Crowd:
    """Processes of watchers (lab.capacity.watchers); a context manager.

    The order's watchers are shared out evenly. Not for use from several threads.
    """

    def __init__(self, order: Order, *, processes: int = 1, log: Path) -> None:
        self._log = log.open("ab")
        shares = [range(each, order.watchers, processes) for each in range(processes)]
        first = order.first
        self._members: list[_Member] = []
        for share in shares:
            part = Order(**{**asdict(order), "watchers": len(share), "first": first})
            first += len(share)
            self._members.append(_Member(part, self._log.fileno()))

    def __enter__(self) -> Crowd:
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
        """The processes' ids."""
        return [member.pid for member in self._members]

    def attach(self, more: int | None = None) -> Joined:
        """Connect and subscribe all of the order's watchers, or `more` in addition to before."""
        asks: list[dict[str, Any]] = [{} for _ in self._members]
        if more is not None:
            asks = [{"watchers": share} for share in _shares(more, len(self._members))]
        return _joined(self._ask("attach", asks))

    def status(self) -> dict[str, Any]:
        """How many connections are `open`, how many watchers `live`, `counts` and `notes`."""
        answers = self._ask("status")
        return {
            "open": sum(answer["open"] for answer in answers),
            "live": sum(answer["live"] for answer in answers),
            "counts": _summed(answer["counts"] for answer in answers),
            "notes": [note for answer in answers for note in answer["notes"]],
        }

    def storm(self) -> Joined:
        """Have every watcher lose its connection now, and come back at the next address."""
        return _joined(self._ask("storm"))

    def pages(self, count: int, limit: int) -> PageLoads:
        """Have `count` pages of the newest `limit` candles read at once."""
        shares = _shares(count, len(self._members))
        answers = self._ask("pages", [{"count": share, "limit": limit} for share in shares])
        return PageLoads(
            asked=sum(answer["asked"] for answer in answers),
            seconds=[each for answer in answers for each in answer["seconds"]],
            bytes=sum(answer["bytes"] for answer in answers),
            took=max(answer["took"] for answer in answers),
            wrong=_summed(answer["wrong"] for answer in answers),
        )

    def move(self, urls: Sequence[str]) -> None:
        """Give the addresses that connections go to from now on."""
        self._ask("move", [{"urls": list(urls)} for _ in self._members])

    def finish(self, expected: Mapping[str, Sequence[int]]) -> Told:
        """Have all watchers leave, and compare what each was told with `expected`.

        That is what the store holds: open times of closed candles, by series.
        """
        told = Told()
        answers = self._ask("finish", [{"expected": expected} for _ in self._members])
        for answer in answers:
            told.tally.add(Tally(**answer["tally"]))
            told.notes += answer["notes"]
            for series, time, arrivals in answer["arrivals"]:
                told.arrivals.setdefault((series, time), []).extend(arrivals)
        told.counts = _summed(answer["counts"] for answer in answers)
        return told

    def close(self) -> None:
        """End the processes."""
        for member in self._members:
            member.close()
        self._log.close()

    def _ask(self, what: str, asks: Sequence[Mapping[str, Any]] | None = None) -> list[Any]:
        for number, member in enumerate(self._members):
            member.send({"do": what, **(asks[number] if asks else {})})
        return [member.receive() for member in self._members]


class _Member:
    """One process; its answers come through a thread, so that waiting for them can end."""

    def __init__(self, order: Order, log: int) -> None:
        command = [sys.executable, "-m", "lab.capacity.watchers"]
        self._process = subprocess.Popen(
            [*command, orjson.dumps(order).decode()],
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

    def send(self, asked: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(orjson.dumps(asked) + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise TopologyFailed("a process of watchers ended; see watchers.log") from None

    def receive(self) -> Any:
        try:
            line = self._answers.get(timeout=ANSWER_TIMEOUT_S)
        except queue.Empty:
            raise TopologyFailed("a process of watchers does not answer") from None
        if not line:
            raise TopologyFailed("a process of watchers ended; see watchers.log")
        return orjson.loads(line)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_TIMEOUT_S)

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


def _summed(counts: Any) -> dict[str, int]:
    total: dict[str, int] = {}
    for each in counts:
        for name, count in each.items():
            total[name] = total.get(name, 0) + count
    return dict(sorted(total.items()))
