"""The watchers of a drill as its driver sees them: processes that count, and their sum."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import IO, Any

import orjson

from lab.capacity.programs import TopologyFailed
from lab.drills.watchers import Order, Received
from trade_canvas.environment import BASE_DIR

REPORT_TIMEOUT_S = 90.0
POLL_S = 0.05


@dataclass(slots=True, kw_only=True)
class Seen:
    """What all watchers of a drill received, series by series."""

    received: dict[str, Received] = field(default_factory=dict)
    most_behind_s: float = 0.0

    def total(self, name: str) -> int:
        """The sum of one count over all series."""
        return sum(int(getattr(each, name)) for each in self.received.values())


class WatcherProcess:
    """One process of watchers; a thread keeps what it last told."""

    def __init__(self, order: Order) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "lab.drills.watchers"],
            cwd=BASE_DIR,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.is_whole = False
        self.lacks = "nothing said yet"
        self.changed_at = 0.0
        self.report: dict[str, Any] | None = None
        self.say(asdict(order))
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def say(self, message: Mapping[str, Any]) -> None:
        """Send one line."""
        assert self._process.stdin is not None
        self._process.stdin.write(orjson.dumps(message, option=orjson.OPT_APPEND_NEWLINE))
        self._process.stdin.flush()

    def _read(self) -> None:
        output: IO[bytes] | None = self._process.stdout
        assert output is not None
        for line in output:
            told = orjson.loads(line)
            if "lacks" in told:
                self.lacks = told["lacks"]
            elif "is_whole" in told:
                self.is_whole, self.changed_at = told["is_whole"], told["at"]
            else:
                self.report = told

    def finish(self, timeout_s: float) -> dict[str, Any]:
        """Wait for the report, which was asked for."""
        self._reader.join(timeout_s)
        self.close()
        if self.report is None:
            raise TopologyFailed("the watchers gave no report")
        return self.report

    def close(self) -> None:
        """End the process, whatever it does."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


class Crowd:
    """Watchers in several processes. Use it as a context manager, and finish it."""

    def __init__(self, orders: Sequence[Order]) -> None:
        self._processes = [WatcherProcess(order) for order in orders]

    def __enter__(self) -> Crowd:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.close()

    @property
    def is_whole(self) -> bool:
        """Whether every watcher is connected and up to date."""
        return all(process.is_whole for process in self._processes)

    def wait_until_whole(self, timeout_s: float, *, for_s: float, after: float = 0.0) -> float:
        """Wait until all have been whole for a while, counted from `after` on.

        Answers since when they are. Times are monotonic seconds. Raises TopologyFailed.
        """
        deadline = time.monotonic() + timeout_s + for_s
        while True:
            since = max(process.changed_at for process in self._processes)
            if self.is_whole and time.monotonic() - max(since, after) >= for_s:
                return since
            if time.monotonic() > deadline:
                lacks = "; ".join(each.lacks for each in self._processes if not each.is_whole)
                raise TopologyFailed(f"watchers are not whole after {timeout_s:g} s: {lacks}")
            time.sleep(POLL_S)

    def say(self, message: Mapping[str, Any]) -> None:
        """Tell all processes."""
        for process in self._processes:
            process.say(message)

    def finish(self, through: Mapping[str, int]) -> Seen:
        """Count up to these open times, one a series, and end the watchers."""
        self.say({"through": through})
        seen = Seen()
        for process in self._processes:
            _add(seen, process.finish(REPORT_TIMEOUT_S))
        return seen


def _add(seen: Seen, report: Mapping[str, Any]) -> None:
    seen.most_behind_s = max(seen.most_behind_s, report["most_behind_s"])
    for series, told in report["received"].items():
        candles = {int(moment): values for moment, values in told.pop("candles").items()}
        known = seen.received.setdefault(series, Received())
        for name, count in told.items():
            setattr(known, name, getattr(known, name) + count)
        for moment, values in candles.items():
            known.differing += known.candles.setdefault(moment, values) != values
