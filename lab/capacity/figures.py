"""What one run measured, as plain values: counts, delays in milliseconds, cores, bytes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from lab.browser_page import HTTP_BYTES, REQUESTS
from lab.ledger import Tally


@dataclass(frozen=True, slots=True)
class Spread:
    """Delays: how many, and in milliseconds their percentiles and the longest."""

    count: int
    p50: float
    p95: float
    p99: float
    longest: float

    @staticmethod
    def of(seconds: Iterable[float]) -> Spread:
        """Return the spread of delays given in seconds; all zero without any."""
        ordered = sorted(seconds)
        if not ordered:
            return Spread(0, 0.0, 0.0, 0.0, 0.0)
        shares = (percentile(ordered, share) for share in (0.5, 0.95, 0.99, 1.0))
        return Spread(len(ordered), *(round(1000 * each, 2) for each in shares))

    def __str__(self) -> str:
        return (
            f"p50 {self.p50:.1f} ms, p95 {self.p95:.1f} ms, p99 {self.p99:.1f} ms,"
            f" max {self.longest:.1f} ms"
        )


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the value that `share` of the ascending values do not exceed."""
    return ordered[max(0, min(len(ordered) - 1, round(share * len(ordered)) - 1))]


@dataclass(frozen=True, slots=True)
class Joining:
    """How many watchers were to become live, how many did, and how long it took them."""

    asked: int
    live: int
    delay: Spread

    @property
    def share(self) -> float:
        """The part that became live."""
        return self.live / self.asked if self.asked else 1.0


@dataclass(frozen=True, slots=True)
class Loading:
    """A storm of page loads: how many came whole, their delays, and what went wrong."""

    asked: int
    whole: int
    delay: Spread
    seconds: float
    megabytes: float
    wrong: Mapping[str, int] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """The part that came whole."""
        return self.whole / self.asked if self.asked else 1.0


@dataclass(frozen=True, slots=True)
class Use:
    """What one process used during the steady part: cores, and megabytes before and at its end."""

    name: str
    cores: float
    megabytes_before: float
    megabytes: float


@dataclass(frozen=True, slots=True)
class Moment:
    """Delays from commit to watcher of the candles that closed in one second of the run."""

    second: int
    p50: float
    p95: float
    longest: float


@dataclass(frozen=True, slots=True)
class Counted:
    """Candles of the steady part: published times watchers, sent to them, received by them."""

    published: int
    sent: int
    came: int


@dataclass(frozen=True, slots=True)
class Drawings:
    """What pages received of the drawings of closed candles, and the delays from commit."""

    tally: Tally
    from_commit: Spread

    @property
    def share(self) -> float:
        """The part of the expected drawings that every page has, however it got them."""
        return 1 - self.tally.missing / self.tally.expected if self.tally.expected else 0.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What each watcher asked for over HTTP in a minute: requests by path, and kilobytes."""

    requests: Mapping[str, float]
    kilobytes: float

    @staticmethod
    def of(counts: Mapping[str, int], watchers: int, minutes: float) -> Asked:
        """Return the shares of one watcher and minute of what a crowd counted."""
        each = watchers * minutes
        requests = {
            name.removeprefix(REQUESTS): round(count / each, 3)
            for name, count in sorted(counts.items())
            if name.startswith(REQUESTS)
        }
        return Asked(requests, round(counts.get(HTTP_BYTES, 0) / each / 1000, 3))


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One run. `truth` are the exchange's closed candles, `unstored` those the store lacks.

    `kind` is what the watchers were: "watchers" of the socket alone, or whole "pages".
    """

    watchers: int
    kind: str = "watchers"
    instances: int
    series: int
    series_each: int
    seconds: float
    subscribed: Joining
    tally: Tally
    truth: int
    unstored: int
    from_commit: Spread
    from_close: Spread
    frames_per_second: float
    uses: tuple[Use, ...]
    timeline: tuple[Moment, ...]
    joining_cpu_s: float = 0.0
    """Processor seconds of the web processes while the watchers joined."""
    asked: Asked = field(default_factory=lambda: Asked({}, 0.0))
    drawings: Drawings | None = None
    reconnected: Joining | None = None
    pages: Loading | None = None
    bare: Spread | None = None
    counted: Counted | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def delivered(self) -> float:
        """The part of the expected candles that came over sockets, by all watchers."""
        return self.tally.delivered / self.tally.expected if self.tally.expected else 0.0

    def per_thousand(self) -> dict[str, float]:
        """Return what all web processes together cost for 1,000 watchers.

        Cores and megabytes of the steady part, and seconds of processor while they joined.
        """
        webs = [use for use in self.uses if use.name.startswith("web-")]
        thousands = self.watchers / 1000
        grown = sum(use.megabytes - use.megabytes_before for use in webs)
        return {
            "cores": sum(use.cores for use in webs) / thousands,
            "megabytes": grown / thousands,
            "processor seconds to join": self.joining_cpu_s / thousands,
        }


def timeline(delays: Mapping[int, Sequence[float]]) -> tuple[Moment, ...]:
    """Return moments of delays in seconds, by the second in which their candles closed."""
    spreads = ((second, Spread.of(found)) for second, found in sorted(delays.items()))
    return tuple(Moment(at, spread.p50, spread.p95, spread.longest) for at, spread in spreads)
