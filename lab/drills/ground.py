"""Where drills take place: an installation, watchers over it, and what they saw."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from lab.drills.crowd import Crowd, Seen
from lab.drills.installation import Installation
from lab.drills.line import HOST
from lab.drills.outcome import Outcome
from lab.drills.watchers import Order

WATCHERS = 200
WATCHERS_A_PROCESS = 500
GATHER_TIMEOUT_S = 60.0
RECOVERY_TIMEOUT_S = 120.0
# Longer than a watcher may be behind: what a fault stopped is noticed by then.
STEADY_S = 5.0


@dataclass(slots=True)
class Watch:
    """The watchers of one drill while it runs, and the times that it marks."""

    crowd: Crowd
    over_at: float | None = None
    revisions_expected: bool = False
    notes: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def hit(self) -> None:
        """The fault begins: how far behind watchers were before does not count."""
        self.crowd.say({"forget_lag": True})

    def over(self) -> None:
        """The fault ends: from here on recovery is timed."""
        self.over_at = time.monotonic()

    def set_clock(self, off_s: float) -> None:
        """Tell the watchers that candles are of a clock that is off by so many seconds."""
        self.crowd.say({"clock_off_s": off_s})

    def note(self, text: str) -> None:
        """Something that is worth telling."""
        self.notes.append(text)

    def expect(self, is_so: object, failure: str) -> None:
        """Something that must be so, besides the counts."""
        if not is_so:
            self.failures.append(failure)


class Ground:
    """An installation and the outcomes of what was done to it, each said as it comes."""

    def __init__(self, installation: Installation, say: Callable[[str], object]) -> None:
        self.installation = installation
        self.outcomes: list[Outcome] = []
        self._say = say

    def add(self, outcome: Outcome) -> None:
        """Another outcome."""
        self.outcomes.append(outcome)
        self._say(str(outcome))

    @contextmanager
    def watched(self, name: str, *, watchers: int = WATCHERS) -> Iterator[Watch]:
        """Watchers over the front address while the body hurts the installation.

        At the end it waits until they are whole again, counts, and adds the outcome. Raises
        TopologyFailed when that does not come about.
        """
        since = self.installation.heads()
        with Crowd(self._orders(since, watchers)) as crowd:
            crowd.wait_until_whole(GATHER_TIMEOUT_S, for_s=1.0)
            watch = Watch(crowd)
            yield watch
            over_at = watch.over_at or time.monotonic()
            whole_at = crowd.wait_until_whole(RECOVERY_TIMEOUT_S, for_s=STEADY_S, after=over_at)
            through = self.installation.heads()
            seen = crowd.finish(through)
        self._conclude(name, watch, seen, since=since, whole_after_s=max(0.0, whole_at - over_at))

    def _orders(self, since: dict[str, int], watchers: int) -> list[Order]:
        urls = [f"http://{HOST}:{self.installation.front.port}"]
        processes = -(-watchers // WATCHERS_A_PROCESS)
        count = -(-watchers // (processes * len(since)))
        return [Order(urls=urls, since=since, count=count) for _ in range(processes)]

    def _conclude(
        self, name: str, watch: Watch, seen: Seen, *, since: dict[str, int], whole_after_s: float
    ) -> None:
        missing, wrong = self._compare(watch, seen, since)
        outcome = Outcome(
            name=name,
            watchers=seen.total("watchers"),
            delivered=seen.total("delivered"),
            lost=seen.total("lost") + missing,
            duplicated=seen.total("duplicated"),
            out_of_order=seen.total("out_of_order"),
            wrong=wrong,
            whole_after_s=whole_after_s,
            most_behind_s=seen.most_behind_s,
            notes=tuple(watch.notes),
            failures=tuple(watch.failures),
        )
        self.add(outcome)

    def _compare(self, watch: Watch, seen: Seen, since: dict[str, int]) -> tuple[int, int]:
        """How many candles the store lacks, and how many are not as the exchange has them."""
        missing = 0
        wrong = 0 if watch.revisions_expected else seen.total("differing")
        for series, received in seen.received.items():
            span = (since[series] + 1, max(received.candles))
            truth = self.installation.truth(series, *span)
            stored = self.installation.stored(series, *span)
            missing += len(truth.keys() - stored.keys())
            wrong += sum(truth[moment] != stored.get(moment, truth[moment]) for moment in truth)
            if not watch.revisions_expected:
                told = received.candles
                wrong += sum(truth.get(moment) != told[moment] for moment in told)
        return missing, wrong
