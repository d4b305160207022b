"""What is answered about candles of the past, which must stay the same bytes."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlencode

import orjson

from lab.endable import Endable
from lab.http import get_text
from lab.program import LabFailed
from lab.waiting import WaitTimeout, wait_until

WINDOWS = (300, 5_000)
FOLLOWING = 5
ANSWER_S = 20.0
PAUSE_S = 0.05
WHOLE = '{"type":"end"'


class Answers:
    """Every kind of answer about a series at some of its times, at one web process after another.

    `differing` names those that are not what they were when this was made.
    """

    def __init__(self, urls: Sequence[str], series: str, times: Sequence[int]) -> None:
        self._urls = urls
        self._paths = [path for time in times for path in _paths(series, time)]
        self._first = {path: self._read(path) for path in self._paths}
        self.compared = 0

    def differing(self, share: float = 1.0) -> list[str]:
        """Read again that share of them, chosen at random; return which are others by now."""
        chosen = random.sample(self._paths, max(1, int(share * len(self._paths))))
        found = [path for path in chosen if self._read(path) != self._first[path]]
        self.compared += len(chosen)
        return found

    def _read(self, path: str) -> str:
        """One answer, read again while it is refused or its stream is ended by a revision."""
        found = ""

        def is_whole() -> bool:
            nonlocal found
            try:
                found = get_text(random.choice(self._urls) + path)
            except LabFailed:
                return False
            return "/replay/" not in path or found.splitlines()[-1].startswith(WHOLE)

        wait_until(is_whole, ANSWER_S, path)
        return _without_head(found) if path.startswith("/api/market/candles") else found


def _paths(series: str, time: int) -> list[str]:
    """The requests about a series at a time."""
    asked: list[tuple[str, dict[str, Any]]] = [
        ("/api/market/candles", {"since": time - 1, "limit": FOLLOWING}),
    ]
    for window in WINDOWS:
        at = {"at_time": time, "window_candles": window}
        asked += [
            ("/api/factor/slices", at),
            ("/api/frame/at_time", at),
            ("/api/draw/delta", at),
        ]
    span = {"from": time, "to": time + FOLLOWING, "factors": "true", "window_candles": WINDOWS[0]}
    asked.append(("/api/replay/stream", span))
    return [f"{path}?{urlencode({'series_id': series, **query})}" for path, query in asked]


def _without_head(page: str) -> str:
    """The candles of a page; its head may move."""
    return orjson.dumps(orjson.loads(page)["candles"]).decode()


class Comparing(Endable):
    """Compares a few answers again and again; a context manager. `differing` are those found."""

    def __init__(self, answers: Answers, share: float = 0.05) -> None:
        super().__init__()
        self.differing: list[str] = []
        self.failure = ""
        self._answers = answers
        self._share = share

    def run(self) -> None:
        """Compare until the context ends."""
        try:
            while not self.ending.wait(PAUSE_S):
                self.differing += self._answers.differing(self._share)
        except WaitTimeout as error:
            self.failure = str(error)


def attempt(work: Callable[[], object], attempts: int) -> str:
    """Do something until it succeeds, so many times at most; return the last failure."""
    failure = ""
    for _ in range(attempts):
        try:
            work()
        except LabFailed as error:
            failure = str(error)
        else:
            return ""
    return failure
