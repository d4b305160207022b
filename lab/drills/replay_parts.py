"""What the replay drill is made of: who writes, who reads, and who looks at the files."""

from __future__ import annotations

import http.client
import random
import threading
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial, reduce
from itertools import count, islice
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import orjson

from lab.benchmarks.samples import walk
from lab.endable import Endable
from lab.http import post
from lab.installation import Installation
from lab.pasts import Past
from lab.program import LabFailed
from lab.replay import Object
from lab.waiting import patience, wait_until
from market.domain.candle import Candle
from market.domain.rollup import merged
from market.domain.series import SeriesId
from overlays.replay.package import SCHEMA

# Of an exchange that is not served here: its candles are served, and not followed.
SYMBOL = "binance:spot:REPLAY{}/USDT"
STEPS = {"1m": 60, "5m": 300, "1h": 3600}
BATCH = 2_000
HISTORY = 900
"""Candles before those of packages, some of which come late."""
HOLES = range(30, 800, 40)
TAKEN_S = 30.0
CHANGE_S = 1.0
"""The mean pause between two changes of the past."""
TIMEOUT_S = 30.0
STREAM_CANDLES = 1_200
LINE_CANDLES = 60
LOOK_S = 0.005
_numbers = count(1)
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Levels(Endable):
    """Posts one symbol in three timeframes: new candles, revisions, and some that come late.

    `pasts` has, by name of the series and epoch, what every bar must show.
    """

    def __init__(self, installation: Installation, token: str) -> None:
        super().__init__()
        symbol = SYMBOL.format(next(_numbers))
        self.series = {text: SeriesId.parse(f"{symbol}:{text}") for text in STEPS}
        self.steps = STEPS
        self.pasts: dict[str, dict[int, Past]] = defaultdict(dict)
        self.changes = 0
        """How often the past was changed."""
        self._installation = installation
        self._token = token
        self._candles: dict[str, dict[int, Candle]] = {text: {} for text in STEPS}
        self._walk = walk()
        self._late: list[Candle] = []
        self._rng = random.Random(5)
        self._turn = threading.Lock()

    def fill(self, window: int) -> None:
        """Store the history, without the candles that come late."""
        minutes = list(islice(self._walk, HISTORY + window + 200))
        self._late = [minutes[place] for place in HOLES]
        self._store([each for each in minutes if each not in set(self._late)])

    @property
    def first(self) -> int:
        """The open time of the first minute."""
        return min(self._candles["1m"])

    @property
    def head(self) -> int:
        """The open time of the newest minute."""
        return max(self._candles["1m"])

    def epochs(self) -> dict[str, int]:
        """The epoch of each series as it is stored now."""
        names = [str(each) for each in self.series.values()]
        query = "SELECT name, epoch FROM series WHERE name = ANY(%s)"
        return dict(self._installation.sql(query, names))

    def heads(self) -> dict[str, int]:
        """The newest open time of each series as it is stored now."""
        return self._installation.heads()

    def pasts_between(self, name: str, before: dict[str, int], after: dict[str, int]) -> list[Past]:
        """The pasts that a series had between two looks at the epochs, the newest first."""
        held = self.pasts[name]
        return [
            held[epoch]
            for epoch in sorted(held, reverse=True)
            if before[name] <= epoch <= after[name]
        ]

    # The thread

    def run(self) -> None:
        """Change something now and then, until it is ended."""
        while not self.ending.wait(self._rng.expovariate(1 / CHANGE_S)):
            with self._turn:
                self._change()

    @contextmanager
    def still(self) -> Iterator[None]:
        """Change nothing while the context lasts."""
        with self._turn:
            yield

    def _change(self) -> None:
        """Add a few candles, and revise one or let one come late."""
        self._store(list(islice(self._walk, self._rng.randrange(1, 8))))
        if self._late and self._rng.random() < 0.4:
            candle = self._late.pop(self._rng.randrange(len(self._late)))
        else:
            old = self._rng.choice(list(self._candles["1m"].values()))
            low, close = old.low - self._rng.random(), old.close + self._rng.gauss(0, 10)
            candle = old._replace(low=min(low, close), close=close, high=max(old.high, close))
        self.changes += 1
        self._store([candle])

    def _store(self, minutes: Sequence[Candle]) -> None:
        """Store minutes, then the longer candles that they change and that are closed."""
        self._send("1m", minutes)
        for text, step in STEPS.items():
            if text != "1m":
                opened = sorted({each.candle_time // step * step for each in minutes})
                closed = [time_ for time_ in opened if time_ + step <= self.head + 60]
                self._send(text, [self._rolled_up(time_, step) for time_ in closed])

    def _rolled_up(self, start: int, step: int) -> Candle:
        minutes = self._candles["1m"]
        held = [minutes[at] for at in range(start, start + step, 60) if at in minutes]
        return reduce(merged, held)._replace(candle_time=start)

    def _send(self, text: str, candles: Sequence[Candle]) -> None:
        """Post candles until they are acknowledged, and note what the series is then."""
        series = self.series[text]
        headers = {"Authorization": f"Bearer {self._token}"}
        url = f"{self._installation.url}/api/dev/market/ingest/candles_closed_batch"
        for start in range(0, len(candles), BATCH):
            part = [each._asdict() for each in candles[start : start + BATCH]]
            body = {"series_id": str(series), "candles": part, "publish_ws": True}
            is_taken = partial(_is_taken, url, body, headers)
            wait_until(is_taken, TAKEN_S, "candles to be taken")
        if candles:
            self._candles[text] |= {each.candle_time: each for each in candles}
            held, epoch = self.pasts[str(series)], self.epochs()[str(series)]
            if epoch in held:
                held[epoch].candles |= {each.candle_time: each for each in candles}
            else:
                held[epoch] = Past(series, self._candles[text])


@dataclass(frozen=True, slots=True)
class Segment:
    """One answer of a stream as far as it came, the epochs before and after, the heads before."""

    lines: list[Object]
    before: dict[str, int]
    after: dict[str, int]
    heads: dict[str, int]

    @property
    def is_cut(self) -> bool:
        """Whether the answer had no end."""
        return self.lines[-1]["type"] in ("start", "window")

    @property
    def is_revised(self) -> bool:
        """Whether it ended since the past was changed."""
        return bool(self.lines[-1]["type"] == "revised")


class Reader(Endable):
    """Reads streams of all levels, each from where the one before ended."""

    def __init__(self, url: str, levels: Levels, seed: int) -> None:
        super().__init__()
        self.segments: list[Segment] = []
        self._url = url
        self._levels = levels
        self._rng = random.Random(seed)

    def run(self) -> None:
        """Read on until it is ended."""
        start = self._anywhere()
        while not self.ending.is_set():
            before, heads = self._levels.epochs(), self._levels.heads()
            lines = list(self._lines(start, None))
            if not lines:
                # Refused, or cut before its first line.
                self.ending.wait(LOOK_S)
                continue
            self.segments.append(Segment(lines, before, self._levels.epochs(), heads))
            start = self._following(lines)

    def whole(self, first: int, last: int) -> list[Object]:
        """All lines of a range, which must end as a whole."""
        lines: list[Object] = []
        start: int | None = first
        while start is not None:
            answer = list(self._lines(start, last))
            if not answer or answer[-1]["type"] != "end":
                raise LabFailed(f"a stream from {start} ended early: {answer[-1:]}")
            # The bar from which it goes on was there already.
            lines += answer[bool(lines) : -1]
            start = answer[-1]["next_from"]
        return lines

    def _anywhere(self) -> int:
        return self._rng.randrange(self._levels.first, self._levels.head, 60)

    def _following(self, lines: Sequence[Object]) -> int:
        """From where to read next: where the answer ended, or anywhere after the newest bar."""
        if lines[-1]["type"] == "end":
            found = lines[-1]["next_from"]
            return self._anywhere() if found is None else int(found)
        clocks = [line["clock"] for line in lines if "clock" in line]
        return int(clocks[-1]) - STEPS["1m"]

    def _lines(self, start: int, end: int | None) -> Iterator[Object]:
        """The whole lines of one answer, as far as it comes."""
        query = {
            "series_id": str(self._levels.series["1m"]),
            "levels": "5m,1h",
            "from": start,
            "window_candles": 1500,
            "window_size": LINE_CANDLES,
            "limit": STREAM_CANDLES,
            "factors": "true",
            **({} if end is None else {"to": end}),
        }
        url = f"{self._url}/api/replay/stream?{urlencode(query)}"
        with (
            suppress(OSError, http.client.HTTPException),
            _direct.open(url, timeout=patience(TIMEOUT_S)) as answer,
        ):
            for line in answer:
                if line.endswith(b"\n"):
                    yield orjson.loads(line)


class Inspector(Endable):
    """Looks at the files of packages all the time; a context manager.

    `broken` are packages that were not whole when they had their name; `dropped` counts those that
    are gone.
    """

    def __init__(self, artifacts: Path) -> None:
        super().__init__()
        self.broken: list[str] = []
        self._root = artifacts / SCHEMA
        self._packages: dict[str, tuple[int, int]] = {}
        self._parts: dict[str, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))

    def run(self) -> None:
        """Look until the context ends."""
        while not self.ending.wait(LOOK_S):
            for folder in self._root.glob("*"):
                self._look(folder)

    @property
    def dropped(self) -> int:
        """How many packages are gone that were there."""
        return sum(not (self._root / key / _PACKAGE).exists() for key in self._packages)

    def has_begun(self, key: str) -> bool:
        """Whether a package has a part, or is built."""
        return any((self._root / key).glob("part-*")) or key in self._packages

    def parts(self, key: str) -> dict[str, int] | None:
        """The parts of a package that is not built yet, with what identifies them; else None."""
        folder = self._root / key
        if (folder / _PACKAGE).exists():
            return None
        return {path.name: path.stat().st_ino for path in folder.glob("part-*")}

    def rebuilt(self, key: str, kept: dict[str, int]) -> list[str]:
        """Which of these parts were written again."""
        return [name for name, inode in kept.items() if self._parts[key][name] - {inode}]

    def epoch(self, key: str) -> int | None:
        """The epoch of the candles of a package; None if it was dropped."""
        wait_until(lambda: key in self._packages, TAKEN_S, "the package to be looked at")
        return self._packages[key][1]

    def sizes(self) -> tuple[int, int]:
        """The bytes of all packages that are kept, and of the newest."""
        kept = [path for path in self._root.glob("*") if (path / _PACKAGE).exists()]
        kept.sort(key=lambda path: (path / _PACKAGE).stat().st_mtime)
        sizes = [sum(each.stat().st_size for each in path.iterdir()) for path in kept]
        return sum(sizes), sizes[-1]

    def _look(self, folder: Path) -> None:
        # Whatever is gone between two looks was dropped.
        with suppress(FileNotFoundError):
            for path in folder.glob("part-*"):
                self._parts[folder.name][path.name].add(path.stat().st_ino)
            inode = (folder / _PACKAGE).stat().st_ino
            if self._packages.get(folder.name, (0, 0))[0] != inode:
                epoch = self._epoch_of(folder, (folder / _PACKAGE).read_bytes())
                self._packages[folder.name] = (inode, epoch)

    def _epoch_of(self, folder: Path, content: bytes) -> int:
        """The epoch of a package, which must be whole."""
        try:
            package = orjson.loads(content)
            windows, meta = package["windows"], package["metadata"]
            ends = [0, *(each["end_idx"] for each in windows)]
            is_whole = [each["start_idx"] for each in windows] == ends[:-1]
            if (
                is_whole
                and ends[-1] == meta["total_candles"]
                and package["cache_key"] == folder.name
            ):
                return int(package["past"]["epoch"])
        except (ValueError, KeyError):
            pass
        self.broken.append(folder.name)
        return -1


_PACKAGE = "replay_package.json"


def _is_taken(url: str, body: Object, headers: Mapping[str, str]) -> bool:
    return post(url, body, headers=headers)[0] == 200


def get_json(url: str, **query: object) -> Any:
    """The answer to a GET, asked again until it comes. Raises WaitTimeout."""

    def answer() -> Any:
        with (
            suppress(OSError, http.client.HTTPException),
            _direct.open(f"{url}?{urlencode(query)}", timeout=patience(TIMEOUT_S)) as found,
        ):
            return orjson.loads(found.read())
        return None

    return wait_until(answer, TAKEN_S, f"{url} to answer")
