"""One run: watchers join, follow for a while, lose their connections, load pages, and are judged.

The steady part is what delays and costs are of; candles are counted from first to last.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from lab.capacity.counters import Counts, compare, read_counts
from lab.capacity.crowd import Crowd, Joined, Told
from lab.capacity.figures import (
    Counted,
    Joining,
    Loading,
    Measured,
    Spread,
    loading,
    timeline,
)
from lab.capacity.resources import Sample, Sampler
from lab.capacity.stored import Stored, stored_since, unstored
from lab.capacity.topology import Topology, seconds_of
from lab.capacity.watcher import Order, followed

# A candle that the bus lost is found within two seconds; by then it has been sent, or it is lost.
GRACE_S = 4.0
CHECK_S = 1.0
# After a silence of the exchange, candles are fetched over REST before they flow again.
RESUME_S = 3.0

Say = Callable[[str], None]
Beside = Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What is to be measured; `storms` are the losing of all connections and the page loads.

    `settle_s` is left between the parts. With `metrics`, web processes and worker must count.
    """

    watchers: int
    seconds: float
    series_each: int = 1
    processes: int = 2
    storms: bool = True
    metrics: bool = False
    page_candles: int = 2000
    settle_s: float = 2.0


@dataclass(frozen=True, slots=True)
class Window:
    """The steady part, and the end of all that counts (Unix seconds)."""

    before: float
    start: float
    end: float
    cut: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """What a run leaves besides its figures."""

    told: Told
    stored: Stored
    window: Window
    samples: Sequence[Sample]


class Measurement:
    """Measures a running topology once. `urls` are the web processes to use, all if not given.

    `beside` is entered for the steady part.
    """

    def __init__(
        self,
        topology: Topology,
        run: Run,
        *,
        say: Say,
        urls: tuple[str, ...] = (),
        beside: Beside = nullcontext,
    ) -> None:
        self._topology = topology
        self._run = run
        self._say = say
        self._beside = beside
        self._urls = urls or topology.web_urls
        self._order = Order(
            urls=self._urls,
            series=topology.layout.series,
            watchers=run.watchers,
            series_each=run.series_each,
        )
        self._log: Path = topology.logs / "watchers.log"

    def measure(self) -> tuple[Measured, Raw]:
        """Run from the first watcher to the last. Raises TopologyFailed when something ends."""
        with (
            Crowd(self._order, processes=self._run.processes, log=self._log) as crowd,
            Sampler(lambda: self._processes(crowd)) as sampler,
        ):
            return self._measure(crowd, sampler)

    def _measure(self, crowd: Crowd, sampler: Sampler) -> tuple[Measured, Raw]:
        began = time.time()
        crowd.pages(len(self._urls) * len(self._order.series), self._run.page_candles)
        self._pass(self._run.settle_s)
        before = time.time()
        joined = crowd.attach()
        self._say(f"{joined.live} of {joined.asked} watchers subscribed")
        self._pass(self._run.settle_s)
        first = self._counts(crowd)
        start = time.time()
        with self._beside():
            self._pass(self._run.seconds)
            end = time.time()
        counted = self._compared(first, crowd)
        back, pages = self._storms(crowd)
        window = Window(before, start, end, time.time())
        self._pass(GRACE_S)
        stored = stored_since(self._topology, began)
        told = crowd.finish(stored.until(window.cut))
        measured = self._measured(
            joined, back, pages, counted, told=told, stored=stored, window=window, sampler=sampler
        )
        return measured, Raw(told=told, stored=stored, window=window, samples=sampler.samples)

    def _storms(self, crowd: Crowd) -> tuple[Joined | None, Loading | None]:
        if not self._run.storms:
            return None, None
        back = crowd.storm()
        self._say(f"{back.live} of {back.asked} watchers back after the reconnect storm")
        self._pass(self._run.settle_s)
        pages = loading(crowd.pages(self._run.watchers, self._run.page_candles))
        self._say(f"{pages.whole} of {pages.asked} pages whole in the page-load storm")
        return back, pages

    def _measured(
        self,
        joined: Joined,
        back: Joined | None,
        pages: Loading | None,
        counted: Counted | None,
        *,
        told: Told,
        stored: Stored,
        window: Window,
        sampler: Sampler,
    ) -> Measured:
        truth, missing = unstored(self._topology, stored, window.before, window.cut)
        commit, close = delays(told, stored, window)
        seconds = window.end - window.start
        return Measured(
            watchers=self._run.watchers,
            instances=len(self._urls),
            series=len(self._order.series),
            series_each=self._run.series_each,
            seconds=round(seconds, 1),
            subscribed=_joining(joined),
            tally=told.tally,
            truth=truth,
            unstored=len(missing),
            from_commit=Spread.of(delay for found in commit.values() for delay in found),
            from_close=Spread.of(delay for found in close.values() for delay in found),
            frames_per_second=round(sum(map(len, commit.values())) / seconds, 1),
            uses=sampler.uses(window.before, window.start, window.end),
            timeline=timeline({second - int(window.start): commit[second] for second in commit}),
            reconnected=None if back is None else _joining(back),
            pages=pages,
            counted=counted,
            counts=told.counts,
            notes=(*told.notes, *told.tally.examples, *missing[:5]),
        )

    def _counts(self, crowd: Crowd) -> Counts | None:
        if not self._run.metrics:
            return None
        worker, exchange = self._topology.worker_metrics_url, self._topology.program("exchange")
        exchange.pause()
        try:
            return read_counts(worker, self._urls, lambda: _candles(crowd.status()["counts"]))
        finally:
            exchange.resume()
            self._pass(RESUME_S)

    def _compared(self, first: Counts | None, crowd: Crowd) -> Counted | None:
        last = self._counts(crowd)
        if first is None or last is None:
            return None
        subscriptions = Counter(
            name for number in range(self._run.watchers) for name in followed(self._order, number)
        )
        return compare(first, last, subscriptions)

    def _processes(self, crowd: Crowd) -> Mapping[str, list[int]]:
        programs = {each.name: [each.pid] for each in self._topology.programs if each.is_running}
        servers = {server.name: [server.pid] for server in self._topology.servers}
        return {**programs, **servers, "watchers": crowd.pids}

    def _pass(self, seconds: float) -> None:
        """Let time pass; raise TopologyFailed as soon as something has ended."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._topology.check()
            time.sleep(min(left, CHECK_S))


def delays(
    told: Told, stored: Stored, window: Window
) -> tuple[dict[int, list[float]], dict[int, list[float]]]:
    """Seconds from commit and from close to each watcher, by the second of the close.

    Of candles that closed in the steady part, and were there to be told live.
    """
    commit: dict[int, list[float]] = {}
    close: dict[int, list[float]] = {}
    for (name, time_), arrivals in told.arrivals.items():
        closed_at = time_ + seconds_of(name)
        committed_at = stored.committed.get((name, time_))
        if committed_at is None or not window.start <= closed_at <= window.end:
            continue
        commit.setdefault(closed_at, []).extend(at - committed_at for at in arrivals)
        close.setdefault(closed_at, []).extend(at - closed_at for at in arrivals)
    return commit, close


def _joining(joined: Joined) -> Joining:
    return Joining(joined.asked, joined.live, Spread.of(joined.seconds))


def _candles(counts: Mapping[str, int]) -> int:
    return counts.get("candles", 0)
