"""Where drills take place: an installation, watchers over it, and what they received."""

from __future__ import annotations

import math
import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from lab.client import Order
from lab.crowd import Crowd
from lab.crowd_process import Received
from lab.drills.outcome import Outcome
from lab.installation import Installation, passable_folder
from lab.program import LabFailed, Program
from lab.waiting import WaitTimeout, wait_until
from market.ingest.pools import POOLS
from trade_canvas.switches import PREFIX

TOKEN = secrets.token_urlsafe(32)
# Everything else is as an operator would have it: the times are the defaults.
SWITCHES = {
    "DEBUG": "0",
    "SECRET_KEY": secrets.token_urlsafe(48),
    "LOG_LEVEL": "INFO",
    f"{PREFIX}ENABLE_PG_STORE": "1",
    f"{PREFIX}ENABLE_WS_PUBSUB": "1",
    f"{PREFIX}ENABLE_WS_PUSH": "1",
    f"{PREFIX}ENABLE_WHITELIST_INGEST": "1",
    f"{PREFIX}ENABLE_ONDEMAND_INGEST": "1",
    f"{PREFIX}ONDEMAND_MAX_JOBS": "50",
    f"{PREFIX}ENABLE_DEBUG_API": "1",
    f"{PREFIX}ENABLE_CCXT_BACKFILL": "1",
    f"{PREFIX}ENABLE_UDF": "1",
    f"{PREFIX}ENABLE_INGEST_LOOP_GUARDRAIL": "1",
    f"{PREFIX}STARTUP_KLINE_SYNC_TARGET_CANDLES": "2000",
    f"{PREFIX}INGEST_TOKEN": TOKEN,
    # A thousand watchers on one machine, beside everything that they watch.
    f"{PREFIX}MARKET_FORMING_MIN_INTERVAL_MS": "1000",
}
FOLLOWER = next(pool for pool in POOLS if pool.name == "follower")
SERIES = tuple(f"sim:futures:{base}/USDT:1s" for base in ("BTC", "ETH", "SOL", "XRP"))
WATCHERS = 200
WATCHERS_A_PROCESS = 500
LATE_S = 3.0
SILENT_S = 8.0
BACKOFF_MAX_S = 1.0
FIRST_CANDLES_S = 20.0
GATHER_S = 20.0
RECOVERY_S = 60.0
# Longer than a watcher may be behind: what a fault stopped is noticed by then.
STEADY_S = 4.0

Report = Callable[[str], object]


@dataclass(slots=True)
class Watch:
    """The watchers of one drill while it runs, and the times that it marks."""

    crowd: Crowd
    fault_ended_at: float | None = None
    revisions_expected: bool = False
    may_be_behind_s: float = math.inf
    """How far a watcher may fall behind, in seconds."""
    delivered: int = 0
    """With those below: what the drill counted itself, to be added to the outcome."""
    lost: int = 0
    duplicated: int = 0
    out_of_order: int = 0
    wrong: int = 0
    notes: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def begin_fault(self) -> None:
        """Forget how far behind watchers were before."""
        self.crowd.adjust(forget_lag=True)

    def end_fault(self) -> None:
        """Start timing the recovery."""
        self.fault_ended_at = time.monotonic()

    @contextmanager
    def fault(self) -> Iterator[None]:
        """The fault lasts as long as the context."""
        self.begin_fault()
        yield
        self.end_fault()

    def set_clock(self, offset_s: float) -> None:
        """Have watchers expect candles of a clock that is off by so many seconds."""
        self.crowd.adjust(clock_offset_s=offset_s)

    def note(self, text: str) -> None:
        """Add something to the report."""
        self.notes.append(text)

    def expect(self, is_so: object, failure: str) -> None:
        """Fail the drill with this message unless the condition holds."""
        if not is_so:
            self.failures.append(failure)


class Watched(Protocol):
    """What watchers are connected to, and what their candles are compared with."""

    series: tuple[str, ...]
    logs: Path

    @property
    def url(self) -> str:
        """The address for watchers."""

    def heads(self) -> dict[str, int]:
        """Return the open time of the newest stored candle of every series that has one."""

    def stored(self, series: str, first: int, last: int) -> list[dict[str, Any]]:
        """Return the stored candles between two open times, inclusive."""

    def truth(self, series: str, first: int, last: int) -> list[dict[str, Any]]:
        """Return the exchange's closed candles between two open times, inclusive."""


class Ground:
    """An installation and the outcomes of what was done to it, each reported as it comes."""

    def __init__(self, installation: Installation, report: Report) -> None:
        self.installation = installation
        self.outcomes: list[Outcome] = []
        self._report = report

    def add(self, outcome: Outcome) -> None:
        """Add and report an outcome."""
        self.outcomes.append(outcome)
        self._report(str(outcome))

    @contextmanager
    def watched(self, name: str, *, watchers: int = WATCHERS) -> Iterator[Watch]:
        """Watchers at the front address while the body disturbs the installation.

        Adds the outcome at the end.
        """
        with watched(self.installation, name, self.add, watchers=watchers) as watch:
            yield watch


@contextmanager
def watched(
    watched_at: Watched, name: str, add: Callable[[Outcome], object], *, watchers: int
) -> Iterator[Watch]:
    """Watchers of all series while the body disturbs what they are connected to.

    Waits at the end until they are up to date again, counts, and passes the outcome to `add`.
    Raises LabFailed when they do not recover.
    """
    heads = watched_at.heads()
    since = {series: heads[series] for series in watched_at.series}
    order = Order(
        urls=(watched_at.url,),
        series=watched_at.series,
        watchers=watchers,
        since=since,
        backoff_max_s=BACKOFF_MAX_S,
        silent_s=SILENT_S,
        late_s=LATE_S,
    )
    processes = -(-watchers // WATCHERS_A_PROCESS)
    with Crowd(order, processes=processes, log=watched_at.logs / "watchers.log") as crowd:
        crowd.attach()
        crowd.wait_until_whole(GATHER_S, for_s=1.0)
        watch = Watch(crowd)
        yield watch
        ended_at = watch.fault_ended_at or time.monotonic()
        whole_at = crowd.wait_until_whole(RECOVERY_S, for_s=STEADY_S, after=ended_at)
        heads = watched_at.heads()
        expected = {series: range(since[series] + 1, heads[series] + 1) for series in since}
        received = crowd.finish(expected, wait=True)
    behind = received.most_behind_s
    watch.expect(behind <= watch.may_be_behind_s, f"watchers were {behind:.1f} s behind")
    missing, wrong = _compare(watched_at, received, since, watch.revisions_expected)
    tally = received.tally
    add(
        Outcome(
            name=name,
            watchers=watchers,
            delivered=received.counts["candles"] + watch.delivered,
            lost=tally.expected - tally.delivered + missing + watch.lost,
            duplicated=tally.duplicates + watch.duplicated,
            out_of_order=tally.disorder + watch.out_of_order,
            wrong=wrong + watch.wrong,
            whole_after_s=max(0.0, whole_at - ended_at),
            most_behind_s=received.most_behind_s,
            notes=tuple(watch.notes),
            failures=tuple(watch.failures),
        )
    )


def _compare(
    watched_at: Watched, received: Received, since: dict[str, int], revised: bool
) -> tuple[int, int]:
    """Return how many candles the store lacks, and how many are not as the exchange has them."""
    missing = 0
    wrong = 0 if revised else received.tally.differing
    for series, start in since.items():
        seen = {
            time_: values for (name, time_), values in received.values.items() if name == series
        }
        span = (start + 1, max(seen, default=start))
        truth = {each["candle_time"]: each for each in watched_at.truth(series, *span)}
        stored = {each["candle_time"]: each for each in watched_at.stored(series, *span)}
        missing += len(truth.keys() - stored.keys())
        wrong += sum(truth[time_] != stored.get(time_, truth[time_]) for time_ in truth)
        if not revised:
            true_values = {time_: tuple(each.values())[1:] for time_, each in truth.items()}
            wrong += sum(true_values.get(time_) != values for time_, values in seen.items())
    return missing, wrong


@dataclass(frozen=True, slots=True)
class Drill:
    """A fault and how it is brought about; `title` is a line of the report."""

    name: str
    title: str
    run: Callable[[Ground], None]


DRILLS: dict[str, Drill] = {}
"""All drills by name, in the order in which they are run."""

Fault = Callable[[Installation, Watch], None]


def drill(name: str, title: str, *, watchers: int = WATCHERS) -> Callable[[Fault], Fault]:
    """Register a function as a drill; it runs while watchers look on."""

    def register(disturb: Fault) -> Fault:
        def run(ground: Ground) -> None:
            with ground.watched(title, watchers=watchers) as watch:
                disturb(ground.installation, watch)

        DRILLS[name] = Drill(name, title, run)
        return disturb

    return register


def following_worker(installation: Installation) -> Program:
    """Return the worker that follows the exchange now: it got the latest fence."""
    pattern = re.compile(re.escape(installation.series[0]) + r": following with fence (\d+)")
    fences = [
        (int(fence), worker)
        for worker in installation.workers
        for fence in pattern.findall(worker.output())
    ]
    if not fences:
        raise LabFailed("no worker follows the exchange")
    return max(fences, key=lambda each: each[0])[1]


@contextmanager
def installed(
    *, series: tuple[str, ...] = SERIES, logs: Path | None = None
) -> Iterator[Installation]:
    """An installation with two webs, followers and beats, and candles of every series.

    Its logs are kept in `logs`.
    """
    with (
        passable_folder() as folder,
        Installation(folder, SWITCHES, faults=True, logs=logs) as installation,
    ):
        installation.manage("migrate", "-v0")
        installation.whitelist(series)
        installation.local_exchange()
        installation.start_all(webs=2, pools=(*POOLS, FOLLOWER), beats=2)
        wait_until(lambda: installation.heads().keys() >= set(series), FIRST_CANDLES_S, "candles")
        yield installation


def run_drills(
    drills: Iterable[Drill], report: Report, *, logs: Path | None = None
) -> list[Outcome]:
    """Run drills one after the other and return their outcomes, each reported as it comes.

    After a failure the rest get a fresh installation. Logs are kept in `logs`.
    """
    outcomes: list[Outcome] = []
    waiting = list(drills)
    while waiting:
        with ExitStack() as stack:
            ground = Ground(stack.enter_context(installed(logs=logs)), report)
            while waiting and all(each.is_clean for each in ground.outcomes):
                each = waiting.pop(0)
                try:
                    each.run(ground)
                    ground.installation.restore()
                except (LabFailed, WaitTimeout) as error:
                    ground.add(Outcome.of_failure(each.title, str(error)))
        outcomes += ground.outcomes
    return outcomes
