"""The thresholds of a run (docs/capacity.md states the same), and whether it kept them."""

from __future__ import annotations

from dataclasses import dataclass

from lab.browser_drawings import MISSED
from lab.capacity.figures import Measured
from lab.crowd_process import DIFFERING


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
    drawn: float = 1.0
    draw_messages_missed: int = 0
    differing: int = 0
    drawn_p95_ms: float = 500.0
    times_sockets: float = 2.0


@dataclass(frozen=True, slots=True)
class Check:
    """One threshold, what was measured, and whether that is within it."""

    name: str
    measured: str
    bound: str
    passed: bool


def judge(measured: Measured, thresholds: Thresholds) -> tuple[Check, ...]:
    """Check a run against every threshold that it has a figure for."""
    tally, limits = measured.tally, thresholds
    stored = 1 - measured.unstored / measured.truth if measured.truth else 0.0
    delivered = measured.delivered
    checks = [
        _share("watchers subscribed", measured.subscribed.share, limits.subscribed),
        _share("the exchange's candles stored", stored, limits.stored),
        _share("stored candles delivered to every watcher", delivered, limits.delivered),
    ]
    if (back := measured.reconnected) is not None:
        name = "watchers back after the reconnect storm"
        checks.append(_share(name, back.share, limits.reconnected))
    if (pages := measured.pages) is not None:
        checks.append(_share("pages whole in the page-load storm", pages.share, limits.pages))
    checks += [
        _count("duplicates", tally.duplicates, limits.duplicates),
        _count("candles out of order", tally.disorder, limits.disorder),
        _count("candles delivered that are not stored", tally.phantom, limits.phantoms),
    ]
    if (counted := measured.counted) is not None:
        apart = max(abs(counted.published - counted.came), abs(counted.sent - counted.came))
        checks.append(_count("candles by which metrics and watchers disagree", apart, 0))
    checks += [
        _delay("p95 from commit to watcher", measured.from_commit.p95, limits.commit_p95_ms),
        _delay("p95 from close to watcher", measured.from_close.p95, limits.close_p95_ms),
    ]
    if (drawings := measured.drawings) is not None:
        counts = measured.counts
        checks += [
            _share("drawings of stored candles at every page", drawings.share, limits.drawn),
            _count(MISSED, counts.get(MISSED, 0), limits.draw_messages_missed),
            _count(DIFFERING, counts.get(DIFFERING, 0), limits.differing),
            _delay(
                "p95 from commit to drawings at a page",
                drawings.from_commit.p95,
                limits.drawn_p95_ms,
            ),
        ]
    return tuple(checks)


def judge_pages(pages: Measured, sockets: Measured, thresholds: Thresholds) -> tuple[Check, ...]:
    """Check a run of pages, and what it cost beside one of as many sockets."""
    cost, bound = times_sockets(pages, sockets), thresholds.times_sockets
    return (
        *judge(pages, thresholds),
        Check(
            "processor of web processes, times that for as many sockets",
            f"{cost:.2f}",
            f"at most {bound:g}",
            0 < cost <= bound,
        ),
    )


def times_sockets(pages: Measured, sockets: Measured) -> float:
    """Return how many times the processor of sockets pages took; 0 without a measurement."""
    cores = sockets.per_thousand()["cores"]
    return pages.per_thousand()["cores"] / cores if cores else 0.0


def _share(name: str, share: float, bound: float) -> Check:
    # Truncated, not rounded: one of a million missing must not read as none.
    shown = int(share * 1_000_000) / 10_000
    return Check(name, f"{shown:g} %", f"at least {100 * bound:g} %", share >= bound)


def _count(name: str, count: int, bound: int) -> Check:
    return Check(name, str(count), f"at most {bound}", count <= bound)


def _delay(name: str, ms: float, bound: float) -> Check:
    # Without any measurement the check fails.
    return Check(name, f"{ms:.1f} ms", f"at most {bound:g} ms", 0 < ms <= bound)
