"""What a run must reach, and whether it did. docs/capacity.md states the same thresholds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lab.capacity.figures import Measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """Shares are of 1; delays in milliseconds."""

    subscribed: float = 1.0
    delivered: float = 1.0
    stored: float = 1.0
    duplicates: int = 0
    disorder: int = 0
    phantoms: int = 0
    commit_p95_ms: float = 250.0
    close_p95_ms: float = 1000.0
    reconnected: float = 1.0
    pages: float = 1.0


@dataclass(frozen=True, slots=True)
class Check:
    """One threshold, what was measured, and whether that is within it."""

    name: str
    measured: str
    bound: str
    passed: bool


def judge(measured: Measured, thresholds: Thresholds) -> tuple[Check, ...]:
    """Hold a run to every threshold that it has a figure for."""
    return (
        *_shares(measured, thresholds),
        *_counts(measured, thresholds),
        *_delays(measured, thresholds),
    )


def _shares(measured: Measured, at_least: Thresholds) -> Iterator[Check]:
    stored = 1 - measured.unstored / measured.truth if measured.truth else 0.0
    yield _share("watchers subscribed", measured.subscribed.share, at_least.subscribed)
    yield _share("the exchange's candles stored", stored, at_least.stored)
    yield _share(
        "stored candles delivered to every watcher", measured.delivered, at_least.delivered
    )
    if measured.reconnected is not None:
        share = measured.reconnected.share
        yield _share("watchers back after the reconnect storm", share, at_least.reconnected)
    if measured.pages is not None:
        yield _share("pages whole in the page-load storm", measured.pages.share, at_least.pages)


def _counts(measured: Measured, at_most: Thresholds) -> Iterator[Check]:
    tally = measured.tally
    yield _count("duplicates", tally.duplicates, at_most.duplicates)
    yield _count("candles out of order", tally.disorder, at_most.disorder)
    yield _count("candles delivered that are not stored", tally.phantom, at_most.phantoms)
    if (counted := measured.counted) is not None:
        apart = max(abs(counted.published - counted.came), abs(counted.handed - counted.came))
        yield _count("candles by which metrics and watchers disagree", apart, 0)


def _delays(measured: Measured, at_most: Thresholds) -> Iterator[Check]:
    yield _delay("p95 from commit to watcher", measured.from_commit.p95, at_most.commit_p95_ms)
    yield _delay("p95 from close to watcher", measured.from_close.p95, at_most.close_p95_ms)


def _share(name: str, share: float, bound: float) -> Check:
    # Cut, not rounded: one of a million missing must not read as all of them.
    shown = int(share * 1_000_000) / 10_000
    return Check(name, f"{shown:g} %", f"at least {100 * bound:g} %", share >= bound)


def _count(name: str, count: int, bound: int) -> Check:
    return Check(name, str(count), f"at most {bound}", count <= bound)


def _delay(name: str, ms: float, bound: float) -> Check:
    # Nothing measured is no proof of speed.
    return Check(name, f"{ms:.1f} ms", f"at most {bound:g} ms", 0 < ms <= bound)
