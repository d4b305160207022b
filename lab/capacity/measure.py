"""One run: watchers join, follow for a while, lose their connections and load pages.

Delays and costs are those of the steady part; candles are counted from first to last.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from lab.capacity.counters import Counts, compare, read_counts
from lab.capacity.figures import Asked, Drawings, Joining, Loading, Measured, Spread, timeline
from lab.capacity.resources import Sample, Sampler
from lab.capacity.stored import Stored, stored_since, unstored
from lab.client import Order
from lab.crowd import Crowd
from lab.crowd_process import Joined, Received
from lab.exchange import seconds_of
from lab.installation import Installation
from lab.waiting import patience

# A candle that the bus lost is found within two seconds; by then it has been sent, or it is lost.
GRACE_S = 4.0
CHECK_S = 1.0
STORED_S = 5.0
# After a silence of the exchange, candles are fetched over REST before they flow again.
RESUME_S = 3.0
# A page takes a connection for lost after so long without a heartbeat.
SILENT_S = 8.0

Progress = Callable[[str], None]
Beside = Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What to measure; `storms` are the loss of all connections and the page loads.

    `settle_s` is left between the parts. With `metrics`, web processes and worker must count. With
    `pages`, watchers do all that a page does.
    """

    watchers: int
    seconds: float
    pages: bool = False
    series_each: int = 1
    processes: int = 2
    storms: bool = True
    metrics: bool = False
    page_candles: int = 2000
    settle_s: float = 2.0


@dataclass(frozen=True, slots=True)
class Window:
    """The steady part, and the end of everything that counts (Unix seconds)."""

    before: float
    start: float
    end: float
    cut: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """What a run leaves besides its figures."""

    received: Received
    stored: Stored
    window: Window
    samples: Sequence[Sample]


def measure(
    installation: Installation,
    run: Run,
    *,
    progress: Progress,
    urls: tuple[str, ...] = (),
    beside: Beside = nullcontext,
) -> tuple[Measured, Raw]:
    """Measure a running installation once. Raises LabFailed when a part of it ends.

    `urls` are the web processes to use, all if not given; `beside` is entered for the steady part.
    """
    urls = urls or tuple(web.url for web in installation.webs if web.is_running)
    order = Order(
        urls=urls,
        series=installation.series,
        watchers=run.watchers,
        series_each=run.series_each,
        pages=run.pages,
        page_candles=run.page_candles,
        silent_s=SILENT_S if run.pages else 0.0,
    )
    kind = "pages" if run.pages else "watchers"
    with (
        Crowd(order, processes=run.processes, log=installation.logs / "watchers.log") as crowd,
        Sampler(lambda: _processes(installation, crowd)) as sampler,
    ):
        began = time.time()
        crowd.pages(len(urls) * len(order.series), run.page_candles)
        _pass(installation, run.settle_s)
        before = time.time()
        joined = crowd.attach()
        progress(f"{joined.live} of {joined.asked} {kind} subscribed")
        _pass(installation, run.settle_s)
        first = _counts(installation, crowd, urls) if run.metrics else None
        start, asked = time.time(), crowd.counts()
        with beside():
            _pass(installation, run.seconds)
            end = time.time()
        asked = crowd.counts() - asked
        last = _counts(installation, crowd, urls) if run.metrics else None
        back, pages = _storms(installation, crowd, run, progress) if run.storms else (None, None)
        window = Window(before, start, end, time.time())
        _pass(installation, GRACE_S)
        stored, truth, missing = _stored(installation, began, window)
        received = crowd.finish(stored.until(window.cut), wait=True)
    commit, close = delays(received.arrivals, stored, window)
    drawn, _ = delays(received.drawn, stored, window)
    seconds = window.end - window.start
    subscriptions = Counter(
        name for number in range(run.watchers) for name in order.followed_by(number)
    )
    measured = Measured(
        watchers=run.watchers,
        kind=kind,
        instances=len(urls),
        series=len(order.series),
        series_each=run.series_each,
        seconds=round(seconds, 1),
        subscribed=_joining(joined),
        tally=received.tally,
        truth=truth,
        unstored=len(missing),
        from_commit=_spread(commit),
        from_close=_spread(close),
        frames_per_second=round(sum(map(len, commit.values())) / seconds, 1),
        uses=sampler.uses(window.before, window.start, window.end),
        joining_cpu_s=_web_cpu_s(sampler.samples, window.before, window.start),
        asked=Asked.of(asked, run.watchers, seconds / 60),
        drawings=Drawings(received.drawn_tally, _spread(drawn)) if run.pages else None,
        timeline=timeline({second - int(window.start): commit[second] for second in commit}),
        reconnected=_joining(back) if back else None,
        pages=pages,
        counted=compare(first, last, subscriptions) if first and last else None,
        counts=dict(sorted(received.counts.items())),
        notes=(*received.notes, *received.tally.examples, *missing[:5]),
    )
    return measured, Raw(received=received, stored=stored, window=window, samples=sampler.samples)


def _stored(
    installation: Installation, began: float, window: Window
) -> tuple[Stored, int, list[str]]:
    """Return what is stored, how many candles the exchange closed, and those that are not stored.

    Late ones are waited for: how late candles are is judged by their delays.
    """
    end = time.monotonic() + patience(STORED_S)
    while True:
        stored = stored_since(installation, began)
        truth, missing = unstored(installation, stored, window.before, window.cut)
        if not missing or time.monotonic() > end:
            return stored, truth, missing
        _pass(installation, CHECK_S)


def _storms(
    installation: Installation, crowd: Crowd, run: Run, progress: Progress
) -> tuple[Joined, Loading]:
    back = crowd.storm()
    progress(f"{back.live} of {back.asked} watchers back after the reconnect storm")
    _pass(installation, run.settle_s)
    loads = crowd.pages(run.watchers, run.page_candles)
    whole = len(loads.seconds)
    progress(f"{whole} of {loads.asked} pages whole in the page-load storm")
    return back, Loading(
        loads.asked,
        whole,
        Spread.of(loads.seconds),
        round(loads.took, 3),
        round(loads.bytes / 1e6, 2),
        dict(loads.wrong),
    )


def _counts(installation: Installation, crowd: Crowd, urls: tuple[str, ...]) -> Counts:
    """Read all counts while the exchange is silent."""
    (worker,) = installation.workers
    installation.exchange.pause()
    try:
        return read_counts(worker.url, urls, lambda: crowd.counts()["candles"])
    finally:
        installation.exchange.resume()
        _pass(installation, RESUME_S)


def _processes(installation: Installation, crowd: Crowd) -> Mapping[str, list[int]]:
    programs = {each.name: [each.pid] for each in installation.programs if each.is_running}
    servers = {server.name: [server.pid] for server in installation.servers}
    return {**programs, **servers, "watchers": crowd.pids}


def _pass(installation: Installation, seconds: float) -> None:
    """Let time pass. Raises LabFailed as soon as a part of the installation has ended."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        installation.check()
        time.sleep(min(left, CHECK_S))


def _joining(joined: Joined) -> Joining:
    return Joining(joined.asked, joined.live, Spread.of(joined.seconds))


def _spread(delays: Mapping[int, Sequence[float]]) -> Spread:
    return Spread.of(delay for found in delays.values() for delay in found)


def _web_cpu_s(samples: Sequence[Sample], start: float, end: float) -> float:
    """Return the processor seconds of all web processes between two times."""
    total = 0.0
    for name in {sample.name for sample in samples if sample.name.startswith("web-")}:
        own = [each.cpu_s for each in samples if each.name == name and start <= each.at <= end]
        total += own[-1] - own[0] if own else 0.0
    return round(total, 2)


def delays(
    arrivals: Mapping[tuple[str, int], Sequence[float]], stored: Stored, window: Window
) -> tuple[dict[int, list[float]], dict[int, list[float]]]:
    """Return seconds from commit and from close to each watcher, by the second of the close.

    Those of live candles that closed in the steady part.
    """
    commit: dict[int, list[float]] = {}
    close: dict[int, list[float]] = {}
    for (name, time_), found in arrivals.items():
        closed_at = time_ + seconds_of(name)
        committed_at = stored.committed.get((name, time_))
        if committed_at is None or not window.start <= closed_at <= window.end:
            continue
        commit.setdefault(closed_at, []).extend(at - committed_at for at in found)
        close.setdefault(closed_at, []).extend(at - closed_at for at in found)
    return commit, close
